"""`harness doctor` as a process: what it says here, and what it says of a suite."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.measure.environment import cuda_unusable, machine
from harness.measure.installation import bitsandbytes_library, free_bytes, unreachable

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


def doctor(*arguments: str, folder: Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "HARNESS_CACHE": str(cache or folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


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


def test_cells_that_cannot_run_are_named_and_are_exit_code_1(tmp_path: Path, sized: Path) -> None:
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE)
    done = doctor(str(suite), folder=tmp_path, cache=sized)
    assert done.returncode == 1
    found = rows(done.stdout)["suite checked"]
    assert found["cells"] == "6 of 8 can run here"
    assert "bnb-nf4 / full" in found["unsupported"]
    assert "and 1 more" in found["unsupported"]


def test_a_suite_that_runs_here_is_exit_code_0(tmp_path: Path, sized: Path) -> None:
    suite = tmp_path / "checked.yaml"
    suite.write_text(SUITE.replace("methods: [full, lora]", "methods: [lora]"))
    done = doctor(str(suite), folder=tmp_path, cache=sized)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 can run here" in done.stdout


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
