"""`gate:` of a suite and a gate's own file: what is refused, at which line, and which limit holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from suites_for_tests import suite_text

from harness.errors import SuiteError
from harness.quantities import quantity
from harness.suite.gate import Gate, read_gate
from harness.suite.load import load_suite, resolved_yaml


def gate(tmp_path: Path, text: str) -> Gate:
    path = tmp_path / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    return read_gate(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alpha: 2\n", "gate.yaml:1:8: alpha: expected less than 1.0, found 2"),
        ("quantites: {}\n", "gate.yaml:1:1: quantites: unknown key; did you mean quantities?"),
        ("quantities:\n  acuracy: {tolerance: 1}\n", "gate.yaml:2:3: quantities.acuracy: no metric or quantity matches 'acuracy'; did you mean accuracy?"),
        ("quantities:\n  accuracy: {tolerance: 2 percent}\n", "gate.yaml:2:25"),
        ("quantities:\n  accuracy: {tolerance: -1}\n", "at least 0"),
        ("quantities:\n  accuracy: {tolerance: .inf}\n", "gate.yaml:2"),
        ("quantities:\n  accuracy: {}\n", "give a tolerance, or ignore: true"),
        ("quantities:\n  accuracy: {tolerance: 1, ignore: true}\n", "not both"),
        ("undecided: maybe\n", "pass or fail"),
    ],
)
def test_a_wrong_gate_says_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        gate(tmp_path, text)
    assert said in str(caught.value)


def test_of_several_patterns_the_last_counts(tmp_path: Path) -> None:
    found = gate(tmp_path, 'quantities:\n  "memory.*": {tolerance: 5 %}\n  memory.peak_vram: {tolerance: 1 %}\n')
    assert found.limit(quantity("memory.peak_vram")).parsed == (0.01, True)
    assert found.limit(quantity("memory.train_peak")).parsed == (0.05, True)


@pytest.mark.parametrize(
    ("key", "tolerance"),
    [
        ("accuracy", (0.0, False)), ("perplexity", (0.005, True)), ("memory.peak_vram", (0.02, True)), ("training.step_ms.p50", (0.1, True)),
        ("sizes.model_bytes", (0.0, False)), ("parameters.trainable", (0.0, False)), ("energy.train", (0.1, True)),
    ],
)  # fmt: skip
def test_defaults_are_those_of_the_page(key: str, tolerance: tuple[float, bool]) -> None:
    assert Gate().limit(quantity(key)).parsed == tolerance


@pytest.mark.parametrize("key", ["timing.total", "timing.load", "training.step_ms.p99", "accuracy:before", "accuracy:anatomy"])
def test_what_only_repeats_another_number_is_not_judged_by_default_but_can_be(key: str) -> None:
    described = replace(quantity(key.partition(":")[0]), key=key)
    assert Gate().limit(described).ignore
    assert not Gate.model_validate({"quantities": {key: {"tolerance": "5 %"}}}).limit(described).ignore


def test_an_absolute_tolerance_is_in_the_unit_that_reports_print() -> None:
    limit = Gate.model_validate({"quantities": {"accuracy": {"tolerance": 0.5}, "training.step_ms.p50": {"tolerance": 3}}})
    assert limit.limit(quantity("accuracy")).parsed.of(0.9, quantity("accuracy")) == pytest.approx(0.005)
    assert limit.limit(quantity("training.step_ms.p50")).parsed.of(20.0, quantity("training.step_ms.p50")) == 3


def test_a_suite_has_a_gate_and_keeps_it_when_it_is_resolved(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text() + 'gate:\n  alpha: 0.05\n  quantities:\n    accuracy: {tolerance: 0.5}\n    "timing.*": {ignore: true}\n')
    first = load_suite(path)
    again = tmp_path / "suite.yaml"
    again.write_text(resolved_yaml(first))
    assert load_suite(again).gate == first.gate
    assert first.gate.alpha == 0.05


def test_a_suite_s_wrong_gate_is_a_problem_of_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text() + "gate:\n  quantities:\n    memory.peak: {tolerance: 1}\n")
    with pytest.raises(SuiteError, match=r"gate\.quantities\.memory\.peak: no metric or quantity"):
        load_suite(path)


def test_a_file_is_laid_over_the_suite_s_gate() -> None:
    suite = Gate.model_validate({"alpha": 0.05, "undecided": "fail", "quantities": {"accuracy": {"tolerance": 1}, "f1": {"tolerance": 1}}})
    laid = Gate.model_validate({"alpha": 0.02, "quantities": {"accuracy": {"ignore": True}}}).over(suite)
    assert (laid.alpha, laid.undecided) == (0.02, "fail")
    assert laid.limit(quantity("accuracy")).ignore
    assert laid.limit(quantity("f1")).parsed == (1.0, False)


def test_the_page_s_example_is_a_gate(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "s.yaml"
    path.write_text(suite_text() + block)
    assert load_suite(path).gate.limit(replace(quantity("latency.ttft_ms.p50"), key="latency.ttft_ms.p50:b8-p128")).parsed == (0.1, True)
