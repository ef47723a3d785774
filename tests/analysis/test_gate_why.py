"""Why a run is worse: suspects ranked by the cells that they touch, and phases that moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gate_factory import MIB, cell, compared, environment, repeated, six

from harness.analysis.gate.compare import Comparison
from harness.records.measured import OtherProcesses
from harness.records.schema import DataUse, Git, Record

OLD = {"torch": "2.13.0", "peft": "0.21.2", "bitsandbytes": "0.49"}
NEW = OLD | {"bitsandbytes": "0.50"}


def slower_with_bnb(scheme: str, method: str) -> dict[str, Any]:
    return {"accuracy": 0.7} if scheme == "bnb-nf4" else {}


def said(found: Comparison) -> list[str]:
    return [suspect.sentence for suspect in found.suspects]


def with_versions(records: Sequence[Record], packages: dict[str, str], **fields: Any) -> list[Record]:
    return [each.model_copy(update={"environment": environment(packages=packages, **fields)}) for each in records]


def test_a_library_whose_cells_and_no_others_regressed_is_the_first_suspect(tmp_path: Path) -> None:
    both = NEW | {"torch": "2.14.0"}
    found = compared(tmp_path, with_versions(six(), OLD), with_versions(six(slower_with_bnb), both, driver="575"))
    assert said(found)[0] == "bitsandbytes 0.49 → 0.50: all 3 cells with bnb-* or its optimizers regressed, none of the 3 others"
    assert any(sentence == "torch 2.13.0 → 2.14.0: it touches every cell; 3 of 6 cells regressed" for sentence in said(found))


def test_a_library_that_no_regressed_cell_uses_is_no_suspect(tmp_path: Path) -> None:
    found = compared(tmp_path, with_versions(six(), OLD), with_versions(six(lambda scheme, method: {"accuracy": 0.7} if scheme == "none" else {}), NEW))
    assert not any("bitsandbytes" in sentence for sentence in said(found))
    assert [fact.name for fact in found.moved] == ["bitsandbytes"]


def test_where_nothing_recorded_changed_what_the_cells_share_is_named(tmp_path: Path) -> None:
    found = compared(tmp_path, six(), six(slower_with_bnb))
    assert said(found) == ["something that only quantization bnb-nf4 uses: all 3 cells with quantization bnb-nf4 regressed, none of the 3 others"]


def test_a_change_of_commit_is_named_as_a_range(tmp_path: Path) -> None:
    def at(commit: str, **fields: Any) -> list[Record]:
        return with_versions(six(**fields), OLD, git=Git(commit=commit * 40, dirty=False))

    found = compared(tmp_path, at("a"), at("b", accuracy=0.5))
    assert str(found.moved[0]) == "commit aaaaaaaaaa..bbbbbbbbbb"
    assert said(found)[0].endswith("it touches every cell; all 6 cells regressed")


def test_clocks_that_were_slowed_and_company_on_the_card_are_suspects(tmp_path: Path) -> None:
    worse = six(slower_with_bnb)
    for each in worse:
        if each.cell.quantization == "bnb-nf4":
            each.timing.throttled = {"train": ["hardware thermal slowdown"]}
            each.memory.others = OtherProcesses(peak_bytes=MIB, processes=1)
    found = compared(tmp_path, six(), worse)
    assert said(found)[0].startswith("the GPU slowed its clocks (hardware thermal slowdown), not so in the baseline: all 3 cells")
    assert any("other processes were on the GPU" in sentence for sentence in said(found))


def test_other_data_behind_the_same_definition_is_a_suspect(tmp_path: Path) -> None:
    def reading(sha: str, accuracy: float) -> list[Record]:
        use = DataUse(role="training", task="rte", split="train", rows=100, sha256=sha)
        return [each.model_copy(update={"data": [use]}) if each.cell.method == "lora" else each for each in six(lambda scheme, method: {"accuracy": accuracy} if method == "lora" else {})]

    found = compared(tmp_path, reading("a", 0.9), reading("b", 0.7))
    assert said(found)[0].startswith("the data changed behind an unchanged definition: all 2 cells that it happened to regressed, none of the 4 others")


def test_the_phase_that_moved_is_named_with_what_it_took(tmp_path: Path) -> None:
    found = compared(tmp_path, [cell(accuracy=0.9)], [cell(accuracy=0.7, seconds=15.0)])
    assert [move.sentence for move in found.phases] == ["train +50 % time (10.00 s → 15.00 s, one cell)"]


def test_nothing_worse_has_no_suspects(tmp_path: Path) -> None:
    assert not compared(tmp_path, with_versions(six(), OLD), with_versions(six(), NEW)).suspects


def test_a_phase_that_moved_by_no_more_than_its_noise_is_not_named(tmp_path: Path) -> None:
    def worse(scheme: str, method: str) -> dict[str, Any]:
        return {"accuracy": 0.7, "seconds": 11.0}

    assert compared(tmp_path / "quiet", repeated(tmp_path / "a"), six(worse)).phases
    assert not compared(tmp_path / "noisy", repeated(tmp_path / "b", time=0.3), six(worse)).phases
