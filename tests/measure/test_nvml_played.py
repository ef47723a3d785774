"""What we make of NVML's answers, where there is no device to give them: traces are played, pynvml's constants and errors
are its own. tests/measure/test_nvml.py asks a real device."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

import pynvml
import pytest
from measured_processes import MIB, python, sampler
from played import CELL, GB, TRACES, driver, played

from harness.errors import RequestError, StorageError
from harness.measure.nvml import open_nvml
from harness.measure.nvml_driver import TRACE_VARIABLE, Library, open_driver
from harness.measure.nvml_player import Answer, PlayedDriver, Trace, TraceHead, read_trace
from harness.measure.nvml_trace import RecordingDriver, record_trace, take_readings
from harness.measure.sampled_cell import SampledCell
from harness.measure.telemetry import read_telemetry

HEAD = TraceHead(nvml_trace=1, origin="hand-written", about="made by a test")


def player(*answers: Answer) -> PlayedDriver:
    return PlayedDriver(Trace(Path("here.jsonl"), HEAD, list(answers)), CELL)


def process(pid: int | str, used: int | None, instance: int = 0) -> dict[str, Any]:
    return {"pid": pid, "usedGpuMemory": used, "gpuInstanceId": instance, "computeInstanceId": 0}


def test_every_trace_says_whether_it_was_recorded() -> None:
    heads = {path.stem: read_trace(path).head for path in TRACES.glob("*.jsonl")}
    assert {name for name, head in heads.items() if head.origin == "recorded"} >= {"no_driver"}
    assert heads["ordinary"].origin == "hand-written"


@pytest.mark.parametrize(
    ("variable", "handle", "mig"),
    [
        (None, "device 0", False),
        ("1", "device 1", False),
        (" 1,0", "device 1", False),
        ("GPU-aaaa2222-1", "device 1", False),
        ("GPU-aaaa2,GPU-aaaa1", "device 1", False),
        ("MIG-1234", "instance of its own", True),
    ],
)
def test_the_device_is_the_first_one_that_cuda_sees(monkeypatch: pytest.MonkeyPatch, variable: str | None, handle: str, mig: bool) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    device = played("two_devices").device
    assert (device.handle, device.mig) == (handle, mig)


@pytest.mark.parametrize(
    ("variable", "order", "doubted"),
    [(None, None, True), ("1", "FASTEST_FIRST", True), ("1", "PCI_BUS_ID", False), ("GPU-aaaa2222-1", None, False), ("MIG-1234", None, False)],
)
def test_cards_of_several_kinds_that_cuda_may_count_otherwise_are_a_note(monkeypatch: pytest.MonkeyPatch, variable: str | None, order: str | None, doubted: bool) -> None:
    for name, value in (("CUDA_VISIBLE_DEVICES", variable), ("CUDA_DEVICE_ORDER", order)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    notes = list[str]()
    assert open_nvml(notes, driver("two_devices")) is not None
    said = [note for note in notes if "CUDA_DEVICE_ORDER=PCI_BUS_ID" in note]
    assert len(said) == int(doubted)
    assert all("NVIDIA A100-SXM4-80GB, NVIDIA T400" in note for note in said)


def test_one_kind_of_card_is_beyond_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    alike = player(
        Answer(call="nvmlInit"), Answer(call="nvmlDeviceGetCount", result=2), Answer(call="nvmlDeviceGetHandleByIndex", result="a device"),
        Answer(call="nvmlDeviceGetMigMode", error="NOT_SUPPORTED"), Answer(call="nvmlDeviceGetName", result="NVIDIA H200"),
    )  # fmt: skip
    notes = list[str]()
    assert open_nvml(notes, alike) is not None
    assert notes[1:] == []


@pytest.mark.parametrize("variable", ["", "-1", "2", "NoDevFiles", "GPU-bbbb"])
def test_no_visible_device_is_none_with_the_reason_and_the_library_given_back(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    asked, notes = driver("two_devices"), list[str]()
    assert open_nvml(notes, asked) is None
    assert notes[1:] == [f"CUDA_VISIBLE_DEVICES={variable} shows no NVIDIA device: NVML readings are null"]
    assert asked.asked.count("nvmlShutdown") == 1


def test_no_permission_is_a_reason() -> None:
    notes: list[str] = []
    assert open_nvml(notes, driver("no_permission")) is None
    assert notes[1] == "NVML gives no access to the device in use (Insufficient Permissions): NVML readings are null"


def test_no_driver_is_a_reason() -> None:
    notes: list[str] = []
    assert open_nvml(notes, driver("no_driver")) is None
    assert notes == [
        "NVML was not asked: its readings are played from no_driver.jsonl (recorded)",
        "no NVIDIA driver (NVML Shared Library Not Found): NVML readings are null",
    ]


def test_of_a_divided_gpu_the_first_mig_device_is_read() -> None:
    device = played("mig").device
    assert (device.handle, device.mig) == ("instance 2", True)


@pytest.mark.parametrize(
    ("compute", "graphics", "expected"),
    [
        ([process("cell", 3 * GB), process(99999, 7 * GB)], [], 3 * GB),
        ([process("cell", 3 * GB)], [process("cell", 3 * GB)], 3 * GB),
        ([process("cell", None)], [process("cell", 3 * GB)], 3 * GB),
        ([process("cell", 3 * GB), process(1, GB)], [process(1, GB)], 4 * GB),
        ([process("cell", 3 * GB, 1), process("cell", GB, 2)], [], 4 * GB),
        ([process(99999, 7 * GB)], [], None),
        ([process("cell", None)], [], None),
        ([], [], None),
    ],
)
def test_memory_of_processes_is_counted_once(compute: Any, graphics: Any, expected: int | None) -> None:
    answers = [answer for answer in read_trace(TRACES / "ordinary.jsonl").answers if "RunningProcesses" not in answer.call]
    lists = {"Compute": compute, "Graphics": graphics}
    asked = player(*answers, *(Answer(call=f"nvmlDeviceGet{kind}RunningProcesses", result=result) for kind, result in lists.items()))
    nvml = open_nvml(driver=asked)
    assert nvml is not None
    assert nvml.process_memory([CELL, 1]) == expected


def test_units_are_bytes_watt_joule_and_megahertz() -> None:
    nvml = played("ordinary")
    assert nvml.device_memory() == 2 * GB
    assert nvml.device_memory_total() == 80 * GB
    assert nvml.power() == 350.5
    assert [nvml.energy(), nvml.energy()] == [1000.0, 1350.5]
    assert nvml.utilisation() == (90, 40)
    assert nvml.temperature() == 61
    assert nvml.clocks() == (1980, 3201)
    assert [nvml.throttle_reasons(), nvml.throttle_reasons()] == [1, 0]
    assert (nvml.name(), nvml.driver(), nvml.cuda_driver(), nvml.compute_capability()) == ("NVIDIA Hand-Written", "570.0", "12.8", (9, 0))
    assert nvml.missing() == []


def test_what_is_not_supported_is_none_asked_for_once_and_told_once() -> None:
    asked = driver("mig")
    nvml = open_nvml(driver=asked)
    assert nvml is not None
    for _ in range(3):
        assert nvml.power() is None
        assert nvml.utilisation() == (None, None)
    assert asked.asked.count("nvmlDeviceGetPowerUsage") == 1
    assert nvml.missing() == [
        "NVML gives no power here (Insufficient Permissions)",
        "NVML gives no utilisation here (Not Supported)",
    ]


def test_a_passing_failure_is_asked_again_and_told() -> None:
    nvml = played("falters")
    assert [nvml.power() for _ in range(4)] == [350.5, 350.5, None, 350.5]
    assert nvml.missing() == ["NVML refused 1 of 4 readings of power (Unknown Error)"]


def test_a_reading_that_ends_is_told_with_the_time() -> None:
    nvml = played("falters")
    assert [nvml.device_memory() for _ in range(6)] == [2 * GB, *[5 * GB] * 3, None, None]
    (note,) = nvml.missing()
    assert note.startswith("NVML fell silent 0.0 s after the sampler began (Unknown Error)")
    assert note.endswith("from then on it gives no device memory")


def test_a_device_that_is_lost_is_not_asked_again() -> None:
    asked = driver("dies")
    nvml = open_nvml(driver=asked)
    assert nvml is not None
    assert nvml.power() == 350.5
    while nvml.holders() is not None:
        pass
    lists = asked.asked.count("nvmlDeviceGetComputeRunningProcesses")
    assert (nvml.holders(), nvml.power(), nvml.device_memory()) == (None, None, None)
    assert asked.asked.count("nvmlDeviceGetComputeRunningProcesses") == lists == 5
    (note,) = nvml.missing()
    assert "(GPU is lost): from then on it gives no power, list of compute processes" in note
    nvml.close()


def test_an_older_driver_names_its_throttle_reasons_otherwise() -> None:
    asked = driver("throttles")
    nvml = open_nvml(driver=asked)
    assert nvml is not None
    assert [nvml.throttle_reasons() for _ in range(6)] == [1, 0, 4, 4, 4, 36]
    assert asked.asked.count("nvmlDeviceGetCurrentClocksEventReasons") == 1
    assert nvml.missing() == []


def test_a_player_gives_the_nth_call_its_nth_answer_and_the_last_for_ever() -> None:
    asked = player(Answer(call="f", result=1, times=2), Answer(call="f", error="TIMEOUT"), Answer(call="f", result=3), Answer(call="g", arguments=[0], result=9))
    assert (asked.call("f"), asked.call("f", "any")) == (1, 1)
    with pytest.raises(pynvml.NVMLError_Timeout):
        asked.call("f")
    assert [asked.call("f") for _ in range(3)] == [3, 3, 3]
    assert asked.call("g", 0) == 9
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        asked.call("g", 1)
    with pytest.raises(pynvml.NVMLError_FunctionNotFound):
        asked.call("h")


def test_a_library_older_than_pynvml_is_raised_as_pynvml_does() -> None:
    with pytest.raises(pynvml.NVMLLibraryMismatchError):
        player(Answer(call="f", error="LIBRARY_MISMATCH")).call("f")


def test_the_library_lacks_a_function_that_pynvml_does_not_have() -> None:
    with pytest.raises(pynvml.NVMLError_FunctionNotFound):
        Library().call("nvmlDeviceGetTea")


@pytest.mark.parametrize(
    ("text", "line"),
    [("", 1), ("no json", 1), ('{"nvml_trace": 1, "origin": "recorded", "about": "x"}\n{"cal": 1}', 2), ('{"nvml_trace": 2, "origin": "recorded", "about": "x"}', 1)],
)
def test_a_file_that_is_no_trace_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(RequestError, match=rf"x\.jsonl:{line}: not a line of an NVML trace"):
        read_trace(path)


def test_the_variable_names_the_trace_that_is_played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TRACE_VARIABLE, raising=False)
    assert isinstance(open_driver(), Library)
    monkeypatch.setenv(TRACE_VARIABLE, str(TRACES / "ordinary.jsonl"))
    notes: list[str] = []
    nvml = open_nvml(notes)
    assert nvml is not None
    assert nvml.name() == "NVIDIA Hand-Written"
    assert notes == ["NVML was not asked: its readings are played from ordinary.jsonl (hand-written)"]
    monkeypatch.setenv(TRACE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(RequestError, match="is no trace of NVML"):
        open_driver()


class Asked:
    """A driver that gives pynvml's own structures, as the library does."""

    def __init__(self) -> None:
        self.note: str | None = None
        self._device = pynvml.c_nvmlDevice_t(pynvml.struct_c_nvmlDevice_t())
        self._memory = iter([10, 10, 30])

    def call(self, function: str, *arguments: Any) -> Any:
        if function == "nvmlDeviceGetHandleByIndex":
            return self._device
        if function == "nvmlDeviceGetMemoryInfo":
            return pynvml.c_nvmlMemory_t(total=100, free=50, used=next(self._memory))
        if function == "nvmlDeviceGetComputeRunningProcesses":
            return [pynvml.nvmlFriendlyObject(process(os.getpid(), 7)), pynvml.nvmlFriendlyObject(process(1, None))]
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED if function == "nvmlDeviceGetPowerUsage" else 12345)


def test_what_is_recorded_plays_as_it_was(tmp_path: Path) -> None:
    recording = RecordingDriver(Asked())
    handle = recording.call("nvmlDeviceGetHandleByIndex", 0)
    used = [recording.call("nvmlDeviceGetMemoryInfo", handle).used for _ in range(3)]
    recording.call("nvmlDeviceGetComputeRunningProcesses", handle)
    for function in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetTea"):
        with pytest.raises(pynvml.NVMLError):
            recording.call(function, handle)
    lines = [answer.model_dump(exclude_defaults=True, exclude={"at"}) for answer in recording.answers]
    assert lines[1] == {"call": "nvmlDeviceGetMemoryInfo", "arguments": ["device 0"], "result": {"total": 100, "free": 50, "used": 10}, "times": 2}
    assert lines[3]["result"] == [process("cell", 7), process(1, None)]
    assert [line["error"] for line in lines[4:]] == ["NOT_SUPPORTED", 12345]
    played_back = PlayedDriver(Trace(tmp_path, HEAD, recording.answers), cell=4711)
    device = played_back.call("nvmlDeviceGetHandleByIndex", 0)
    assert [played_back.call("nvmlDeviceGetMemoryInfo", device).used for _ in range(3)] == used == [10, 10, 30]
    assert [found.pid for found in played_back.call("nvmlDeviceGetComputeRunningProcesses", device)] == [4711, 1]
    with pytest.raises(pynvml.NVMLError_NotSupported):
        played_back.call("nvmlDeviceGetPowerUsage", device)
    with pytest.raises(pynvml.NVMLError) as unknown:
        played_back.call("nvmlDeviceGetTea", device)
    assert unknown.value.value == 12345


def test_a_recording_is_a_trace_that_says_what_it_is_of(tmp_path: Path) -> None:
    lines = record_trace(tmp_path / "here.jsonl", 0.03, 10, "cpu")
    trace = read_trace(tmp_path / "here.jsonl")
    assert trace.head.origin == "recorded"
    assert trace.head.about == "; ".join(lines[:-1])
    assert lines[-1] == f"written to {tmp_path / 'here.jsonl'}"
    assert trace.answers[0].call == "nvmlInit"
    with pytest.raises(StorageError, match="cannot write"):
        record_trace(tmp_path / "absent" / "here.jsonl", 0.03, 10, "cpu")


class SlowToBegin:
    """Work that takes as long to begin as a whole recording, as torch's import and a CUDA context may."""

    def __init__(self) -> None:
        time.sleep(1.0)
        self.ended = False
        self.dues: list[float] = []
        SlowToBegin.begun.append(self)

    def until(self, due: float) -> None:
        self.dues.append(due - time.monotonic())

    def end(self) -> None:
        self.ended = True

    begun: ClassVar[list[SlowToBegin]] = []


def test_what_it_takes_to_begin_the_work_costs_no_time_in_which_it_is_read() -> None:
    taken = take_readings(SampledCell(CELL, played("ordinary"), None), 1.0, 0.0625, SlowToBegin)
    (work,) = SlowToBegin.begun
    assert (taken, len(work.dues)) == (16, 5), "a third of the readings"
    assert max(work.dues) > 0, "there is time to work between them"
    assert work.ended


@pytest.mark.gpu
def test_a_recording_of_a_real_device_has_its_memory_idle_busy_and_left(tmp_path: Path) -> None:
    record_trace(tmp_path / "here.jsonl", 1.5, 10, "cuda")
    answers = read_trace(tmp_path / "here.jsonl").answers
    memory = [answer.result["used"] for answer in answers if answer.call == "nvmlDeviceGetMemoryInfo" and answer.arguments == ["device 0"]]
    assert max(memory) - memory[0] > 1024 * MIB
    assert max(memory) - memory[-1] > 1000 * MIB


def test_the_sampler_runs_over_a_trace_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE_VARIABLE, str(TRACES / "ordinary.jsonl"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    child = python("import time; time.sleep(60)")
    watching = sampler(child.pid, tmp_path / "telemetry.parquet", device="cuda")
    time.sleep(0.5)
    watching.stdin.close()
    assert watching.wait(60) == 0
    child.kill()
    child.wait()
    read = read_telemetry(tmp_path / "telemetry.parquet")
    assert read.facts.notes == ["NVML was not asked: its readings are played from ordinary.jsonl (hand-written)"]
    assert read.facts.baseline_device_bytes == 2 * GB
    assert read.facts.own_listed
    assert list(read.readings("nvml_process")[1][:2]) == [3 * GB, 3 * GB]
    last = {name: read.readings(name)[1][-1] for name in read.columns if len(read.readings(name)[1])}
    assert (last["clock_sm_mhz"], last["clock_memory_mhz"], last["throttle_reasons"], last["others_bytes"]) == (1980, 3201, 0, 0)
    assert (last["utilisation_sm"], last["utilisation_memory"], last["temperature_c"]) == (90, 40, 61)
