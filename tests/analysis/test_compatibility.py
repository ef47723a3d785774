"""From a probe's records to verdicts, and to the page and the data that show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from record_factory import record, write_run

from harness.analysis.columns import row
from harness.analysis.compatibility import compatibility_map, judged, miscounts
from harness.analysis.run import Run, read_run
from harness.errors import RequestError
from harness.records.parts import CHECKS
from harness.records.schema import Check, Outcome
from harness.report.compatibility import write_map
from harness.suite.compatibility import CompatibilityMap

SUITE = """
name: tests
models: [{id: a, source: "random:tiny-bert"}, {id: b, source: "random:tiny-llama"}]
quantization: [none, bnb-nf4]
methods: [{id: lora, r: 4}, {id: dora, method: lora, use_dora: true}]
tasks: [{id: rte, task: glue/rte, data: micro}]
seeds: [0, 1]
measure: {probe: true}
"""


def checks(failed: tuple[str, ...] = (), until: str | None = None) -> list[Check]:
    """Every check, passed but the failed ones; `until`: those before this one."""
    made = CHECKS if until is None else CHECKS[: CHECKS.index(until)]  # type: ignore[arg-type]
    return [Check(name=name, passed=name not in failed, detail=f"{name} was looked at") for name in made]


def cell(model: str = "a", probe: list[Check] | None = None, status: str = "ok", phase: str | None = "probe", message: str = "it broke", **fields: Any) -> Any:
    outcome = Outcome(status="ok") if status == "ok" else Outcome(status=status, phase=phase, message=message)
    return record(model=model, probe=probe, **fields).model_copy(update={"outcome": outcome})


def run_of(folder: Path, *records: Any) -> Run:
    return read_run(write_run(folder / "run", records, SUITE))


@pytest.mark.parametrize(
    ("fields", "verdict", "named", "reason"),
    [
        ({"probe": checks()}, "works", (), None),
        ({"probe": checks(("counts",))}, "works", (), None),
        ({"probe": checks(("pads", "merges"))}, "silently wrong", ("pads", "merges"), "pads: pads was looked at; merges: merges was looked at"),
        ({"status": "unsupported", "phase": None, "message": "no such part"}, "unsupported", (), "no such part"),
        ({"status": "failed", "probe": checks(until="merges")}, "broken", ("merges",), "merges: it broke"),
        ({"status": "failed", "probe": []}, "broken", ("counts",), "attaching: it broke"),
        ({"status": "timeout", "probe": checks(until="generates"), "message": "took too long"}, "broken", ("generates",), "generates: took too long"),
        ({"status": "failed", "phase": "load", "message": "no weights"}, "broken", (), "no weights"),
    ],
)
def test_the_verdict_on_a_cell(fields: dict[str, Any], verdict: str, named: tuple[str, ...], reason: str | None) -> None:
    found = judged(row(cell(**fields)), "bert")
    assert (found.verdict, found.checks, found.reason) == (verdict, named, reason)


def test_pairs_are_by_family_and_the_worst_of_several_cells_counts(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        cell("a", checks(), seed=0),
        cell("a", checks(("pads",)), seed=1),
        cell("b", checks()),
        cell("b", status="failed", probe=checks(until="merges"), quantization="bnb-nf4"),
        cell("b", checks(), method="dora"),
    )
    found = compatibility_map(run)
    assert {(each.method, each.verdict): each.pairs for each in found.findings} == {
        ("lora", "silently wrong"): {"bert": ["none"]},
        ("lora", "works"): {"llama": ["none"]},
        ("lora", "broken"): {"llama": ["bnb-nf4"]},
        ("dora", "works"): {"llama": ["none"]},
    }
    assert found.methods == {"lora": {"method": "lora", "r": 4}, "dora": {"method": "lora", "use_dora": True}}
    assert found.versions == {"torch": "2.13.0", "peft": "0.21.2"}


def test_failures_of_the_same_checks_are_one_finding_whatever_the_numbers(tmp_path: Path) -> None:
    one, other = checks(("merges",)), checks(("merges",))
    other[-1] = other[-1].model_copy(update={"detail": "another number"})
    found = compatibility_map(run_of(tmp_path, cell("a", one), cell("b", other)))
    (finding,) = found.findings
    assert finding.pairs == {"bert": ["none"], "llama": ["none"]}


def test_records_of_no_probe_make_no_map(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"measure: \{probe: true\}"):
        compatibility_map(read_run(write_run(tmp_path / "run", [cell()], SUITE.replace("measure: {probe: true}", ""))))


def test_a_formula_that_misses_is_ours_and_told_apart(tmp_path: Path) -> None:
    assert miscounts(run_of(tmp_path, cell("a", checks(("counts",))), cell("b", checks()))) == ["a / none / lora: counts was looked at"]


def test_the_page_and_the_data(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        cell("a", checks()),
        cell("a", checks(("merges",)), quantization="bnb-nf4"),
        cell("b", status="unsupported", phase=None, message="not on llama"),
        cell("b", status="failed", probe=checks(("counts",), until="pads"), quantization="bnb-nf4"),
    )
    found = compatibility_map(run)
    write_map(found, run, tmp_path / "docs" / "page.md", tmp_path / "data.json")
    page = (tmp_path / "docs" / "page.md").read_text(encoding="utf-8")
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "| lora | ✓ | ! (1) |" in lines
    assert "| lora | – (1) | ✗ (2) |" in lines
    assert "| ! | silently wrong | 1 | it runs, and a check fails |" in lines
    assert "(2) pads: it broke." in lines
    assert "torch 2.13.0, peft 0.21.2." in page
    assert "b / bnb-nf4 / lora: counts was looked at" in page.replace("\\", "")
    assert CompatibilityMap.model_validate_json((tmp_path / "data.json").read_bytes()) == found
