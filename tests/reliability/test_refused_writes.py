"""Every command that writes files meets a disk that is full, nearly full or read-only: one sentence, exit code 1, nothing half-written."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from record_factory import metric, record, write_run
from small_disks import disk, remount
from test_faults_in_phases import Site, faulty_cell, run, site  # noqa: F401 - site is a fixture
from test_full_disk import Harness, assert_whole, harness  # noqa: F401 - harness is a fixture

from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.skeletons import anatomies
from harness.runs.directory import RUN, RunFacts
from harness.tasks.base import Head

PAGE = 4096
SUITE = "name: narrow\nmodels: [{id: tiny, source: micro:encoder}]\nmethods: [lora]\ntasks: [{id: rte, task: glue/rte, data: micro}]\nseeds: [0, 1]\n"
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "{run}", "--format", "md", "--format", "csv", "--format", "json", "--format", "html", "--format", "latex", "--format", "plots", "--out", "{disk}/report"),
    "baseline": ("baseline", "save", "{run}", "known", "--replace"),
    "compare": ("compare", "{run}", "{run}", "--format", "junit", "--out", "{disk}/gate.xml"),
    "card": ("card", "{run}", "--cell", "{cell}", "--out", "{disk}/card.md"),
    "export": ("export", "{run}", "--to", "lm-eval", "--out", "{disk}/exported"),
    "history": ("history", "add", "{run}", "{disk}/history.sqlite"),
    "init": ("init", "mine"),
    "run": ("run", "{suite}", "--out", "{disk}/run"),
    "noise": ("noise", "{suite}", "--repeats", "2", "--out", "{disk}/run"),
}  # fmt: skip
RUNS_CELLS = ("run", "noise")  # where there is any room; test_full_disk.py has them meet the end of it
TAKES_LONG = ("report", "run", "noise")
FREE_PAGES = (0, 1, 4)


@pytest.fixture
def made_run(tmp_path: Path) -> tuple[Path, str]:
    """A run directory that is not on the small disk, and the id of one of its cells."""
    records = [record(seed=seed, metrics=[metric(value=0.5 + seed / 10)]) for seed in range(2)]
    made = write_run(tmp_path / "made", records, SUITE)
    facts = RunFacts(suite="tests", profile=None, device="cpu", planned=[each.cell.id for each in records])
    (made / RUN).write_text(facts.model_dump_json())
    return made, records[0].cell.id


def fill(folder: Path, free_pages: int) -> Path:
    """Leaves that many pages free; returns the file that takes the others."""
    ballast = folder / "ballast"
    size = os.statvfs(folder).f_bavail * PAGE - free_pages * PAGE
    ballast.write_bytes(bytes(size))
    return ballast


@pytest.mark.parametrize("command", [pytest.param(name, marks=[pytest.mark.slow] * (name in TAKES_LONG)) for name in COMMANDS])
def test_a_command_whose_disk_refuses(
    command: str, made_run: tuple[Path, str], harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Callable[..., None],  # noqa: F811
) -> None:
    made, cell = made_run
    suite = tmp_path / "narrow.yaml"
    suite.write_text(SUITE)
    begun, refused = time.monotonic(), 0
    monkeypatch.setenv("COLUMNS", "1000")
    with disk(tmp_path / "disk", "size=24m") as place:
        arguments = [argument.format(run=made, disk=place, cell=cell, suite=suite) for argument in COMMANDS[command]]
        monkeypatch.chdir(place)
        tried = (None, 0) if command in RUNS_CELLS else (None, *FREE_PAGES)
        for free in tried:
            ballast = None if free is None else fill(place, free)
            if ballast is None:
                remount(place, "ro")
            code, said = harness(*arguments)
            assert "Traceback" not in said, said
            if free in (None, 0) or code:
                assert code == 1, said
                assert "Read-only file system" in said if free is None else "No space left on device" in said or "database or disk is full" in said, said
                assert command in ("init", "baseline") or str(place) in said, said
                assert len(said.strip().splitlines()) <= 8, said
                refused += 1
            remount(place, "rw")
            if ballast is not None:
                ballast.unlink()
            assert_whole(place)
            (place / "suites" / "mine.yaml").unlink(missing_ok=True)  # init does not overwrite
        if command not in RUNS_CELLS:
            code, said = harness(*arguments)
            assert code == 0, said
            assert_whole(place)
        monkeypatch.chdir(tmp_path)
    ledger(
        area="disks", check=f"`harness {command}` writes to a disk that is read-only, full or nearly full", tried=len(tried),
        survived=len(tried), seconds=time.monotonic() - begun, note=f"{refused} refused in one sentence; the others had room",
    )  # fmt: skip


@pytest.mark.slow
def test_a_read_only_cache_serves_what_it_has_and_refuses_the_rest(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Callable[..., None]) -> None:  # noqa: F811
    begun = time.monotonic()
    fills, finds, lacks = (faulty_cell(site, place, "nothing") for place in ("train", "merge", "attach"))  # the third rounds to another digit
    fills, finds, lacks = (replace(cell, id=name) for cell, name in ((fills, "fills"), (finds, "finds"), (lacks, "lacks")))
    with disk(tmp_path / "disk", "size=16m") as place:
        monkeypatch.setenv("HARNESS_CACHE", str(place))
        assert run(site, [fills])["fills"].outcome.status == "ok"
        remount(place, "ro")
        records = run(site, [fills, finds, lacks])
        assert records["finds"].outcome.status == "ok", records["finds"].outcome
        assert records["finds"].quantization is not None
        assert records["finds"].quantization.cost is not None
        assert not records["finds"].quantization.cost.here
        refused = records["lacks"].outcome
        assert (refused.status, refused.phase) == ("failed", "quantize")
        assert refused.message is not None
        assert str(place) in refused.message
        assert "Read-only file system" in refused.message
        (sized,) = anatomies([(ModelConfig(source="random:opt-125m"), Head("causal-lm"))], place)
        assert isinstance(sized, Anatomy), "what is small is built again every time"
    ledger(area="disks", check="a cache that is read-only: with the entry, without it, and for sizes that plans ask for", tried=3, survived=3, seconds=time.monotonic() - begun)
