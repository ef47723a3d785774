"""Phases measured from inside the process: peaks, times, and phases that end by an exception."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from measured_processes import MIB

from harness.measure import host
from harness.measure.meter import PhaseMeter
from harness.measure.phases import PhaseReading


class Heard:
    """What a meter reports."""

    def __init__(self) -> None:
        self.began: list[tuple[str, float]] = []
        self.readings: list[PhaseReading] = []
        self.meter = PhaseMeter("cpu", lambda phase, at: self.began.append((phase, at)), self.readings.append)


def test_a_phase_is_reported_at_both_ends() -> None:
    heard = Heard()
    before = time.monotonic()
    with heard.meter.phase("load"):
        assert heard.meter.current == "load"
        assert [phase for phase, _ in heard.began] == ["load"]
        assert heard.readings == []
        time.sleep(0.05)
    assert heard.meter.current is None
    assert heard.meter.failed_in is None
    (reading,) = heard.readings
    assert reading.started == heard.began[0][1] >= before
    assert reading.started + 0.05 <= reading.ended <= time.monotonic()
    assert (reading.torch_allocated, reading.torch_reserved) == (None, None)


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_a_phase_that_raises_is_reported_and_remembered(error: BaseException) -> None:
    heard = Heard()
    with heard.meter.phase("load"):
        pass
    with pytest.raises(type(error)), heard.meter.phase("train"):
        raise error
    assert heard.meter.failed_in == "train"
    assert heard.meter.current is None
    assert [reading.phase for reading in heard.readings] == ["load", "train"]


def test_a_peak_belongs_to_the_phase_that_made_it() -> None:
    heard = Heard()
    with heard.meter.phase("load"):
        pass
    with heard.meter.phase("train"):
        block = bytearray(150 * MIB)
        del block
    with heard.meter.phase("evaluate"):
        pass
    load, train, evaluate = (reading.host_rss or 0 for reading in heard.readings)
    assert train - load > 140 * MIB
    assert train - evaluate > 140 * MIB, "the high-water mark was set back"
    assert heard.meter.notes == []


def test_where_the_peak_cannot_be_set_back_the_phases_ends_count_and_a_note_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "CLEAR_REFS", tmp_path)  # a folder: writing to it is refused, as in some sandboxes
    heard = Heard()
    for phase in ("load", "train"):
        with heard.meter.phase(phase):
            block = bytearray(50 * MIB)
            del block
    now = host.resident_bytes(os.getpid())
    assert now is not None
    assert heard.readings[1].host_rss == pytest.approx(now, rel=0.05)
    assert len(heard.meter.notes) == 1
    assert "cannot be set back" in heard.meter.notes[0]


def test_a_phase_within_another_interrupts_it_and_neither_has_the_others_time_and_memory() -> None:
    heard = Heard()
    with heard.meter.phase("train"):
        assert not heard.meter.interrupts
        with heard.meter.phase("evaluate_dev"):
            assert heard.meter.interrupts
            time.sleep(0.1)
            block = bytearray(150 * MIB)
            del block
        assert (heard.meter.current, heard.meter.interrupts) == ("train", True)
    assert [phase for phase, _ in heard.began] == [reading.phase for reading in heard.readings] == ["train", "evaluate_dev", "train"]
    before, within, after = heard.readings
    assert before.ended <= within.started
    assert within.started + 0.1 <= within.ended <= after.started
    assert (within.host_rss or 0) - max(before.host_rss or 0, after.host_rss or 0) > 140 * MIB
    assert heard.meter.failed_in is None


def test_an_exception_in_a_phase_that_interrupts_is_that_phases() -> None:
    heard = Heard()
    with pytest.raises(ValueError, match="bad"), heard.meter.phase("train"), heard.meter.phase("evaluate_dev"):
        raise ValueError("bad")
    assert (heard.meter.failed_in, heard.meter.current) == ("evaluate_dev", None)
    assert [reading.phase for reading in heard.readings] == ["train", "evaluate_dev"]


def test_a_process_that_is_gone_has_no_resident_set() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert host.resident_bytes(pid) is None


@pytest.mark.gpu
def test_on_cuda_a_phase_waits_for_its_work_and_knows_torchs_peaks() -> None:
    import torch

    readings: list[PhaseReading] = []
    meter = PhaseMeter("cuda", lambda phase, at: None, readings.append)
    torch.zeros(1, device="cuda")
    kept = torch.cuda.memory_allocated()  # by tests before: cuBLAS's workspace lives in torch's allocator from the first product on
    with meter.phase("load"):
        block = torch.empty(100 * MIB, dtype=torch.uint8, device="cuda")
        del block
    with meter.phase("train"):
        started = torch.cuda.Event(enable_timing=True)
        ended = torch.cuda.Event(enable_timing=True)
        started.record()
        torch.cuda._sleep(500_000_000)
        ended.record()
    with meter.phase("evaluate"):
        pass
    load, train, evaluate = readings
    assert 100 * MIB <= (load.torch_allocated or 0) - kept < 110 * MIB
    assert (evaluate.torch_allocated or 0) - kept < 10 * MIB
    assert (load.torch_reserved or 0) >= (load.torch_allocated or 0)
    assert train.ended - train.started >= started.elapsed_time(ended) / 1000 > 0.05
    assert evaluate.ended - evaluate.started < train.ended - train.started
