"""`harness doctor` as a process: what it says here, and what it says of a suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import huggingface_hub.constants
import pytest
from typer.testing import CliRunner

from harness.cli import findings
from harness.cli.app import app
from harness.errors import RequestError
from harness.measure import installation
from harness.measure.environment import cuda_unusable, machine
from harness.measure.installation import (
    bitsandbytes_library,
    extras,
    free_bytes,
    unreachable,
    without_credentials,
)

RUN = (
    "import sys, typer\nfrom harness.cli.doctor import doctor_command\n"
    "app = typer.Typer()\napp.command()(doctor_command)\n"
    "try:\n    app()\nfinally:\n    assert 'torch' not in sys.modules, 'the doctor imports no torch'\n"
)
SUITE = """
name: checked
models: [{id: m, source: "random:opt-125m"}]
quantization: [none, bnb-nf4]
methods: [full, lora]
tasks: [wikitext2]
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests share: sizing a model takes a process with torch."""
    return tmp_path_factory.mktemp("cache")


def doctor(*arguments: str, folder: Path, cache: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "HARNESS_CACHE": str(cache or folder / "cache")} | variables
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def told(monkeypatch: pytest.MonkeyPatch, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and output of the doctor in this process, bitsandbytes not asked for: that takes an import of torch."""
    monkeypatch.setattr(installation, "BITSANDBYTES", "print('Cuda')")
    for name, value in {"HF_HUB_OFFLINE": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def rows(text: str) -> dict[str, dict[str, str]]:
    """Section -> name -> value."""
    sections: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("  "):
            name, _, value = line.strip().partition("  ")
            sections[next(reversed(sections))][name] = value.strip()
        elif line:
            sections[line] = {}
    return sections


def test_the_doctor_tells_versions_device_registries_and_disks(tmp_path: Path) -> None:
    done = doctor(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["versions"]["torch"] == version("torch")
    assert found["device"]["cells run on"] == machine("auto").device
    assert found["device"]["CUDA"] == cuda_unusable() or found["device"]["CUDA"] == "usable"
    assert found["bitsandbytes"]["native library"].startswith("loaded")
    assert "bnb-nf4" in found["schemes"]["available"]
    assert "lora" in found["methods"]["available"]
    assert found["disk"]["cache"].startswith(str(tmp_path / "cache"))
    assert "GiB free" in found["disk"]["results"]
    assert list(found["hub"].values()) == ["not asked: HF_HUB_OFFLINE is set"]
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


@pytest.mark.slow
def test_cells_that_cannot_run_are_named_and_are_exit_code_1(tmp_path: Path, sized: Path) -> None:
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE)
    done = doctor(str(suite), folder=tmp_path, cache=sized)
    assert done.returncode == 1
    _, said, told = done.stdout.partition("suite checked\n")
    assert said
    lines = [line.strip() for line in told.splitlines()]
    assert "6 of 8 can run here" in lines[0]
    assert lines[1].startswith("cannot run here")
    assert "full" in lines[1], "the reason"
    assert lines[2:] == [f"m / bnb-nf4 / full / wikitext2 / seed {seed}" for seed in (0, 1)]


def test_a_suite_that_runs_here_is_exit_code_0(tmp_path: Path, sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE.replace("methods: [full, lora]", "methods: [lora]"))
    code, output = told(monkeypatch, str(suite), HARNESS_CACHE=str(sized))
    assert code == 0, output
    assert "4 of 4 can run here" in output


def test_as_json_there_are_the_same_findings_and_every_cell_that_cannot_run(tmp_path: Path, sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE)
    code, output = told(monkeypatch, str(suite), "--json", HARNESS_CACHE=str(sized))
    assert code == 1
    found = json.loads(output)
    assert {row["name"]: row["value"] for row in found["versions"]}["torch"] == version("torch")
    assert found["suite"]["cells"] == 8
    refused = found["suite"]["cannot run here"]
    assert [row["cell"] for row in refused] == [f"m / bnb-nf4 / full / wikitext2 / seed {seed}" for seed in (0, 1)]
    assert all(row["reason"] and row["id"] for row in refused)


def test_nothing_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://user:0123secret@hub.example")
    for form in ([], ["--json"]):
        code, output = told(monkeypatch, *form, HF_TOKEN="hf_0123secret", HTTPS_PROXY="http://user:0123secret@proxy:1")
        assert code == 0
        assert "0123secret" not in output
        assert "https://hub.example" in output
    found = {row["name"]: row["value"] for row in json.loads(output)["settings"]}
    assert (found["HF_TOKEN"], found["HTTPS_PROXY"]) == ("set", "set")


def test_a_gpu_is_shown_with_its_driver_and_its_place_in_the_table_of_cards(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    trace = root / "tests" / "measure" / "traces" / "ordinary.jsonl"
    found = rows(told(monkeypatch, "--device", "cpu", HARNESS_NVML_TRACE=str(trace))[1])["device"]
    assert found["GPU"].startswith("NVIDIA ")
    assert "GiB" in found["GPU"]
    assert "runs CUDA up to" in found["driver"]
    assert "TFLOP/s dense" in found["card"] or "not in the table" in found["card"]
    assert "played from ordinary.jsonl" in found["NVML"], "a trace is never taken for a driver"


def test_recording_without_a_driver_is_one_clear_error_and_makes_no_file(tmp_path: Path) -> None:
    if cuda_unusable() is None:
        pytest.skip("there is a driver here")
    done = CliRunner().invoke(app, ["doctor", "--record", str(tmp_path / "trace.jsonl"), "--seconds", "1"])
    assert isinstance(done.exception, RequestError)
    assert "nobody to ask: no NVIDIA driver" in str(done.exception)
    assert not (tmp_path / "trace.jsonl").exists()


def test_a_disk_with_little_room_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(findings.LEAST_FREE, "cache", 2**62)
    found = {row.name: row for row in findings.disks()}
    assert found["cache"].trouble
    assert "little: 4294967296.00 GiB should be" in found["cache"].value
    assert "little" not in found["results"].value or found["results"].trouble


def test_the_extras_are_those_of_the_installed_package() -> None:
    found = extras()
    assert found is not None
    assert found["hqq"] == {"hqq": version("hqq")}
    assert set(found["gptq"]) == {"gptqmodel", "optimum"}


def test_an_address_loses_its_credentials_and_nothing_else() -> None:
    assert without_credentials("https://user:pass@hub.example:8080/x?y=1") == "https://hub.example:8080/x?y=1"
    assert without_credentials("https://huggingface.co") == "https://huggingface.co"


def test_a_kernel_that_cannot_run_keeps_the_suites_cells_from_running(tmp_path: Path, sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, but broken: its files are found, and only trying shows that it does not work."""
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "hqq").mkdir()
    (broken / "hqq" / "__init__.py").write_text("raise ImportError('libsomething.so is missing')")
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE.replace("bnb-nf4", "hqq-4bit").replace("[full, lora]", "[lora]"))
    monkeypatch.setattr(findings, "torch_on", lambda target, asked: iter(()))
    paths = os.pathsep.join(filter(None, [str(broken), os.environ.get("PYTHONPATH")]))
    code, output = told(monkeypatch, str(suite), "--kernels", "--json", HARNESS_CACHE=str(sized), PYTHONPATH=paths)
    assert code == 1, output
    found = json.loads(output)
    kernels = {row["name"]: row for row in found["kernels"]}
    assert kernels["hqq-4bit"]["trouble"]
    assert "libsomething.so is missing" in kernels["hqq-4bit"]["value"]
    assert [row["cell"] for row in found["suite"]["cannot run here"]] == [f"m / hqq-4bit / lora / wikitext2 / seed {seed}" for seed in (0, 1)]


def test_bitsandbytes_is_asked_in_a_process_of_its_own() -> None:
    assert bitsandbytes_library().startswith("loaded")


def test_bitsandbytes_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bitsandbytes.py").write_text("raise ImportError('libsomething.so is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert bitsandbytes_library() == "cannot be imported: ImportError: libsomething.so is missing"


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    free, writable = free_bytes(tmp_path / "a" / "b")
    assert free is not None
    assert free > 0
    assert writable
    assert not free_bytes(tmp_path / "file" / "x")[1], "nothing can be made below a file"


def test_a_server_that_answers_anything_is_reachable_and_a_closed_port_is_not() -> None:
    import http.server
    import threading

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert unreachable(address) is None, "501 for HEAD is an answer"
    assert "refused" in (unreachable(address) or "")
