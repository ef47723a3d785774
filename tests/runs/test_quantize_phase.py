"""The quantize phase in cells' own processes: weights are quantized once, whoever asks, whatever happens in between."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collected import Collected
from drill_cells import drill_cell
from small_disks import disk as small_disk

from harness.models.source import cache_folder
from harness.quantization.cache_entry import read_entry
from harness.quantization.cache_locks import writing
from harness.quantization.calibration import Calibration
from harness.runs.cache import SharedEvaluations
from harness.runs.cell import Life
from harness.runs.phases import load, quantize
from harness.suite.settings import LimitSettings
from harness.tasks.base import TASKS

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

Execute = Callable[..., Collected]
TEXTS = {"texts": ["yes yes yes yes", "yes"], "samples": 2, "length": 4}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of quantized weights."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "quantized"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A file with a line for every time that weights were quantized."""
    path = tmp_path / "ledger"
    path.touch()
    return path


def cell(model: Path, ledger: Path, name: str, **fields: Any) -> Any:
    """A cell of the scheme `rounded`; those of other names are other cells with the same weights."""
    from harness_drills import Rounded

    scheme = Rounded(scheme="rounded", ledger=str(ledger), **({"calibration": TEXTS} | fields))
    return drill_cell(model, name=name, scheme=scheme)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.name != ".locks")


def phases(collected: Collected, cell: Any) -> list[str]:
    return [reading.phase for reading in collected.ended[cell.id].readings]


def notes(collected: Collected, cells: Sequence[Any]) -> list[str]:
    return [note for each in cells for note in collected.ended[each.id].result.notes]


def test_weights_are_quantized_once_and_loaded_by_the_next_cell(tiny_model: Path, execute: Execute, cache: Path, ledger: Path) -> None:
    first, second = cell(tiny_model, ledger, "a"), cell(tiny_model, ledger, "b")
    collected = execute([first, second])
    assert [collected.ended[each.id].outcome.status for each in (first, second)] == ["ok", "ok"]
    assert ledger.read_text() == "2 samples\n"
    assert phases(collected, first)[:3] == ["load", "quantize", "load"]
    assert "quantize" not in phases(collected, second)
    made, loaded = (collected.ended[each.id].result.quantization for each in (first, second))
    assert (made.cost.here, loaded.cost.here) == (True, False)
    assert made.cost.model_copy(update={"here": False}) == loaded.cost
    assert made.cost.peak_source == "host_rss"
    assert made.cost.seconds > 0
    assert (made.calibration.samples, made.calibration.shortest) == (2, 1)
    (entry,) = entries(cache)
    assert made.cost.disk_bytes == sum(path.stat().st_size for path in (entry / "weights").rglob("*"))
    assert read_entry(entry).title.model == f"path:{tiny_model}"
    for each in (first, second):
        assert "rounding was noted" in notes(collected, [each])
        assert any("1 of 2 samples are shorter than 4 tokens" in note for note in notes(collected, [each]))


@pytest.mark.parametrize(
    "other",
    [{"digits": 2}, {"calibration": TEXTS | {"seed": 1}}, {"calibration": TEXTS | {"length": 3}}, {"calibration": TEXTS | {"texts": ["yes"]}}],
)
def test_what_decides_the_weights_makes_another_entry(tiny_model: Path, execute: Execute, cache: Path, ledger: Path, other: dict[str, Any]) -> None:
    execute([cell(tiny_model, ledger, "a"), cell(tiny_model, ledger, "b", **other)])
    assert len(entries(cache)) == 2


def test_what_only_loading_asks_for_shares_the_entry(tiny_model: Path, execute: Execute, cache: Path, ledger: Path) -> None:
    execute([cell(tiny_model, ledger, "a"), cell(tiny_model, ledger, "b", kernel="fast")])
    assert len(entries(cache)) == 1


def test_two_cells_at_once_quantize_once_and_the_one_that_waits_says_so(
    tiny_model: Path, execute: Execute, cache: Path, ledger: Path
) -> None:
    both = [cell(tiny_model, ledger, name, seconds=2.0) for name in "ab"]
    collected = execute(both, jobs=2)
    assert [collected.ended[each.id].outcome.status for each in both] == ["ok", "ok"]
    assert ledger.read_text() == "2 samples\n"
    assert sorted(collected.ended[each.id].result.quantization.cost.here for each in both) == [False, True]
    (waited,) = [note for note in notes(collected, both) if "waited for" in note]
    assert re.fullmatch(r"the quantize phase waited for process \d+ on \S+, which quantized the same weights: \d\.\d s", waited)


def test_a_cell_that_waits_longer_than_it_may_says_for_whom_it_waited(
    tiny_model: Path, execute: Execute, cache: Path, ledger: Path
) -> None:
    execute([cell(tiny_model, ledger, "a")])
    (entry,) = entries(cache)
    shutil.rmtree(entry)
    waits = cell(tiny_model, ledger, "b")
    waits = replace(waits, config=replace(waits.config, limits=LimitSettings(phase_seconds={"quantize": 2.0})))
    with writing(cache, entry.name):
        ended = execute([waits]).ended[waits.id]
    assert (ended.outcome.status, ended.outcome.phase) == ("timeout", "quantize")
    assert f"the quantize phase waited for process {os.getpid()} on {socket.gethostname()}, which quantized the same weights" in ended.result.notes


def test_a_cell_that_is_killed_while_quantizing_leaves_no_entry_and_the_next_clears_up(
    tiny_model: Path, execute: Execute, cache: Path, ledger: Path
) -> None:
    killed = cell(tiny_model, ledger, "a", fault="kill")
    collected = execute([killed])
    assert collected.ended[killed.id].outcome.message == "killed by signal 9 (SIGKILL)"
    assert collected.ended[killed.id].outcome.phase == "quantize"
    assert all(path.name.startswith(".") for path in entries(cache)), "a half-written folder, and no entry"
    next_one = cell(tiny_model, ledger, "b")
    assert execute([next_one]).ended[next_one.id].outcome.status == "ok"
    (entry,) = entries(cache)
    assert not entry.name.startswith(".")


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "entry"])
def test_a_damaged_entry_is_quantized_anew_with_a_note(
    tiny_model: Path, execute: Execute, cache: Path, ledger: Path, damage: str
) -> None:
    first, second = cell(tiny_model, ledger, "a"), cell(tiny_model, ledger, "b")
    execute([first])
    (entry,) = entries(cache)
    weights = entry / "weights" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    if damage == "entry":
        (entry / "entry.json").write_text("{")
    elif damage == "gone":
        weights.unlink()
    else:
        weights.write_bytes(content if damage == "flipped" else content[:-1])
    collected = execute([second])
    assert collected.ended[second.id].result.quantization.cost.here
    (note,) = [note for note in notes(collected, [second]) if "damaged" in note]
    said = {
        "flipped": "model.safetensors has other content", "cut": "model.safetensors has", "gone": "model.safetensors is missing",
        "entry": "entry.json: no JSON",
    }  # fmt: skip
    assert said[damage] in note
    assert read_entry(entries(cache)[0]).files


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tiny_model: Path, execute: Execute, tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        monkeypatch.setenv("HARNESS_CACHE", str(disk))
        too_much = cell(tiny_model, ledger, "a", ballast_bytes=10**6)
        outcome = execute([too_much]).ended[too_much.id].outcome
        assert (outcome.status, outcome.phase) == ("failed", "quantize")
        assert re.match(rf"cannot write quantized weights to {disk}\S*: No space left on device", outcome.message)
        assert entries(disk / "quantized") == []
        fits = cell(tiny_model, ledger, "b")
        assert execute([fits]).ended[fits.id].outcome.status == "ok"


def test_every_cell_draws_its_own_new_head_over_stored_weights(cache: Path, ledger: Path, tmp_path: Path) -> None:
    """A checkpoint keeps the head that it was quantized with: loaded as it is, every seed would start from the same one."""
    heads = {}
    for scheme in ("none", "rounded"):
        for seed in (0, 1):
            life = classifier(tmp_path, ledger, scheme, seed)
            heads[scheme, seed] = {name: values.clone() for name, values in life.model.named_parameters() if name.startswith("classifier")}
    assert ledger.read_text() == "2 samples\n"
    for seed in (0, 1):
        for name, values in heads["none", seed].items():
            assert heads["rounded", seed][name].equal(values), name
    assert not heads["rounded", 0]["classifier.weight"].equal(heads["rounded", 1]["classifier.weight"])


def classifier(folder: Path, ledger: Path, scheme: str, seed: int) -> Life:
    """The micro encoder with a new head, loaded as a cell of that seed loads it."""
    from harness_drills import Rounded

    from harness.models.base import ModelConfig

    fields = Rounded(scheme="rounded", ledger=str(ledger), calibration=Calibration.model_validate(TEXTS)) if scheme == "rounded" else None
    cell = drill_cell(folder, scheme=fields)
    task = TASKS.get("glue/sst2").model_validate({"task": "glue/sst2", "data": "micro"})
    config = replace(cell.config, model=ModelConfig(source="micro:encoder"), task=task)
    life = Life(replace(cell, config=config, labels=replace(cell.labels, seed=seed)), folder, "cpu", SharedEvaluations(folder), cache_folder(), print)
    load.describe(life)
    if quantize.due(life):
        quantize.run(life)
    load.weights(life)
    return life


def test_a_tuned_model_is_quantized_outside_of_the_cache(cache: Path, ledger: Path, tmp_path: Path) -> None:
    life = classifier(tmp_path, ledger, "rounded", 0)
    ledger.write_text("")
    (before,) = entries(cache)
    life.model.classifier.weight.data.fill_(3.0)
    life.model.save_pretrained(tmp_path / "merged")
    scheme = life.cell.config.scheme
    quantized = quantize.uncached(life, scheme, tmp_path / "merged", tmp_path / "quantized")
    assert entries(cache) == [before]
    assert quantized.cost.here
    assert quantized.drawn == (), "the head is tuned: nothing is drawn"
    config = scheme.stored_model(life.cell.config.model, quantized.weights)
    assert load.loaded(life, config, scheme, quantized).classifier.weight.unique().tolist() == [3.0]
