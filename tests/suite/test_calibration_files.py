"""Calibration files of a suite: found beside it, checked when it is planned, hashed into the ids of its cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from suites_for_tests import Load, Planned, Problems

from harness.errors import SuiteError
from harness.quantization.base import SCHEMES, CalibratedScheme
from harness.suite.load import load_suite
from harness.suite.resolved import resolved_yaml


class Looking(CalibratedScheme):
    """A scheme that looks at activations."""

    libraries: ClassVar[tuple[str, ...]] = ()


@pytest.fixture(autouse=True)
def scheme(register: object) -> None:
    """The scheme `looking`."""
    register(SCHEMES, "looking", Looking)  # type: ignore[operator]


def on_file(name: str = "own.txt") -> dict[str, str]:
    return {"quantization": f"[{{scheme: looking, calibration: {{file: {name}}}}}]"}


def test_a_file_lies_relative_to_the_suite(tmp_path: Path, load: Load) -> None:
    suite = load(**on_file())
    assert suite.quantization[0].config.calibration.file == str(tmp_path / "own.txt")
    resolved = tmp_path / "elsewhere" / "suite.yaml"
    resolved.parent.mkdir()
    resolved.write_text(resolved_yaml(suite))
    assert load_suite(resolved, None).quantization[0].config == suite.quantization[0].config


def test_the_content_is_in_the_id_and_the_place_is_not(tmp_path: Path, plan: Planned) -> None:
    path = tmp_path / "own.txt"
    path.write_text("a text\n")
    (first,) = plan(**on_file()).cells
    path.write_text("another text\n")
    (changed,) = plan(**on_file()).cells
    assert changed.id != first.id
    assert changed.untuned_ids != first.untuned_ids
    (tmp_path / "moved").mkdir()
    path.rename(tmp_path / "moved" / "own.txt")
    (moved,) = plan(**on_file("moved/own.txt")).cells
    assert moved.id == changed.id


@pytest.mark.parametrize(("content", "said"), [(None, "is not there"), ("", "is empty: it needs at least one text")])
def test_a_missing_or_empty_file_is_told_at_its_line_when_the_suite_is_planned(
    tmp_path: Path, plan: Planned, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "own.txt").write_text(content)
    with pytest.raises(SuiteError) as refused:
        plan(**on_file())
    (problem,) = refused.value.problems
    assert (problem.line, problem.key) == (3, "quantization[0].calibration")
    assert said in problem.message


def test_contradicting_fields_are_told_at_their_line(problems: Problems) -> None:
    (line,) = problems(quantization="[{scheme: looking, calibration: {set: ptb, file: own.txt}}]")
    assert line.startswith("s.yaml:3:")
    assert "quantization[0].calibration: file is given, but the set is ptb: give one of them" in line


def test_a_named_sets_folder_lies_relative_to_the_suite(tmp_path: Path, plan: Planned) -> None:
    (tmp_path / "ptb").mkdir()
    (tmp_path / "ptb" / "train.jsonl").write_text(json.dumps({"sentence": "a text"}) + "\n")
    (cell,) = plan(quantization="[{scheme: looking, calibration: {set: ptb, data: .}}]").cells
    assert cell.config.scheme.calibration.data == str(tmp_path)


def test_a_task_without_a_training_split_cannot_calibrate(plan: Planned) -> None:
    (cell,) = plan(quantization="[{scheme: looking, calibration: {set: task}}]", tasks="[{task: mmlu, data: micro}]", methods="[none]").cells
    assert cell.unsupported is not None
    assert cell.unsupported.startswith("looking is calibrated on the task's own training split: training needs the split auxiliary_train")
