"""Baselines: what is kept, under which keys, who may overwrite what, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gate_factory import cell, environment, plan, repeated, run, six
from record_factory import metric, write_run

from harness.analysis.gate.compare import compare
from harness.analysis.gate.saving import baseline_tables, baselines_table, save
from harness.analysis.gate.sides import baseline_side, run_side
from harness.errors import DataError, RequestError, UnknownName
from harness.records.baseline import MOST_ITEMS, read_baseline
from harness.records.schema import Record
from harness.suite.gate import Gate


def on(gpu: str, **fields: object) -> list[Record]:
    return [each.model_copy(update={"environment": environment(device="cuda", gpu=gpu)}) for each in six(**fields)]


def test_a_saved_run_compares_as_the_run_itself_does_noise_and_items_included(tmp_path: Path) -> None:
    base = repeated(tmp_path / "base")
    saved = save(base, "nightly", "ann", reference=tmp_path / "ref")
    assert (saved.cells, saved.without_noise) == (6, False)
    right = run_side(run(tmp_path / "now", six(step=23.0, accuracy=0.8)))
    from_file = compare(baseline_side("nightly", right, tmp_path / "ref"), right, Gate())
    from_run = compare(run_side(base), right, Gate())
    assert {change.sentence for change in from_file.worse} == {change.sentence for change in from_run.worse}
    assert from_file.exit_code == 1
    assert from_file.left.saved is not None
    assert from_file.left.saved.startswith("saved by ann on ")


def test_lines_are_sorted_and_keyed_by_device_and_cell_and_small(tmp_path: Path) -> None:
    path = save(run(tmp_path / "a", six()), "n", "ann", reference=tmp_path).path
    assert path == tmp_path / "cpu" / "baselines" / "n.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["cell"] for line in lines] == sorted(each.cell.id for each in six())
    assert {line["device"] for line in lines} == {"Test CPU, 2 cores"}
    assert path.stat().st_size < 6 * 6000
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))  # an order that a merge may leave
    right = run_side(run(tmp_path / "b", six()))
    assert compare(baseline_side("n", right, tmp_path), right, Gate()).exit_code == 0


def test_items_of_large_evaluations_are_left_out_and_their_standard_error_stays(tmp_path: Path) -> None:
    many = metric("accuracy", 0.5, items=[0.123456789] * (MOST_ITEMS + 1), stderr=0.01)
    few = metric("f1", 0.5, items=[0.123456789] * 5)
    path = save(run(tmp_path / "a", [cell(metrics=[many, few])]), "n", "ann", reference=tmp_path).path
    kept = {each.name: each for each in read_baseline(path)[0].record.metrics}
    assert (kept["accuracy"].items, kept["accuracy"].stderr) == (None, 0.01)
    assert kept["f1"].items == [0.123457] * 5


def test_a_baseline_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    first = run(tmp_path / "a", six())
    save(first, "n", "ann", reference=tmp_path)
    with pytest.raises(RequestError, match=r"saved by ann on .*--replace"):
        save(first, "n", "bob", reference=tmp_path)
    path = save(run(tmp_path / "b", six()[:2]), "n", "bob", replace=True, reference=tmp_path).path
    assert [each.saved.who for each in read_baseline(path)] == ["bob", "bob"]


def test_each_device_has_its_own_file_and_a_run_finds_that_of_its_own(tmp_path: Path) -> None:
    for gpu, accuracy in (("NVIDIA H200", 0.9), ("NVIDIA A100-SXM4-80GB", 0.8)):
        save(run(tmp_path / gpu, on(gpu, accuracy=accuracy)), "n", "ann", reference=tmp_path / "ref")
    assert sorted(path.parent.parent.name for path in (tmp_path / "ref").rglob("n.jsonl")) == ["nvidia-a100-sxm4-80gb", "nvidia-h200"]
    right = run_side(run(tmp_path / "now", on("NVIDIA A100-SXM4-80GB", accuracy=0.8)))
    assert compare(baseline_side("n", right, tmp_path / "ref"), right, Gate()).exit_code == 0
    other = run_side(run(tmp_path / "t4", on("Tesla T4")))
    assert compare(baseline_side("n", other, tmp_path / "ref"), other, Gate()).obstacles[0].kind == "device"


def test_a_run_that_cannot_be_a_baseline_is_refused_with_the_reason(tmp_path: Path) -> None:
    def refused(path: Path, name: str = "n") -> str:
        with pytest.raises(RequestError) as caught:
            save(path, name, "ann", reference=tmp_path / "ref")
        return str(caught.value)

    assert "1 of 7 cells have no record yet" in refused(run(tmp_path / "going", six(), planned=["c2-later"]))
    assert "failed" in refused(run(tmp_path / "failed", [cell(), cell(method="ia3", status="failed")]))
    assert "run.json" in refused(write_run(tmp_path / "unknown", six()))
    assert "holds no record" in refused(plan(write_run(tmp_path / "empty", []), []))
    assert "several devices" in refused(run(tmp_path / "two", [cell(), cell(method="ia3", environment=environment(cpu="Other"))]))
    broken = run(tmp_path / "broken", six())
    next((broken / "records").glob("*.json")).write_text("{")
    assert "cannot be read" in refused(broken)
    assert "cannot be an id" in refused(run(tmp_path / "fine", six()), "../n")
    assert not (tmp_path / "ref").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [], "holds no cell"),
        (lambda lines: [lines[0], lines[0]], "2: the cell"),
        (lambda lines: [lines[0][:-40]], ":1: not a line of a baseline"),
        (lambda lines: [lines[0].replace('"schema_version": 1}', '"schema_version": 7}')], "baseline version 7"),
        (lambda lines: [lines[0], lines[1].replace('"schema_version": 1, "sizes"', '"schema_version": 99, "sizes"')], ":2: not a line of a baseline: schema_version 99 is newer"),
        (lambda lines: ["[1]"], "a line is a JSON object"),
    ],
)
def test_a_damaged_baseline_says_which_line_and_what(tmp_path: Path, change, said: str) -> None:
    path = save(run(tmp_path / "a", six()), "n", "ann", reference=tmp_path).path
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=r"n\.jsonl") as caught:
        read_baseline(path)
    assert said in str(caught.value)


def test_list_and_show_tell_who_and_when_and_what(tmp_path: Path) -> None:
    save(repeated(tmp_path / "a"), "n", "ann", reference=tmp_path)
    line = [entry.text for entry in baselines_table(tmp_path).rows[0]]
    assert line[:6] == ["n", "Test CPU, 2 cores", "tests", "6", "yes", "ann"]
    (table,) = baseline_tables("n", tmp_path)
    assert len(table.rows) == 6
    assert "90.00 accuracy" in [entry.text for entry in table.rows[0]]
    assert any("3 A/A repeats" in note for note in table.notes)
    with pytest.raises(UnknownName, match="did you mean n"):
        baseline_tables("nn", tmp_path)
