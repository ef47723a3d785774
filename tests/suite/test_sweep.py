"""Further axes over training settings and over fields of methods and tasks."""

from __future__ import annotations

import pytest
from suites_for_tests import Planned, Problems


def swept(plan: Planned, extra: str, **sections: str) -> list[tuple[str, dict[str, object]]]:
    return [(cell.labels.method, cell.labels.sweep) for cell in plan(extra, **sections).cells]


def test_a_swept_training_setting_multiplies_what_tunes_only(plan: Planned) -> None:
    extra = "sweep: {train.learning_rate: [1e-4, 3e-4]}"
    assert swept(plan, extra, methods="[none, full]") == [
        ("none", {}), ("full", {"train.learning_rate": 1e-4}), ("full", {"train.learning_rate": 3e-4}),
    ]  # fmt: skip
    cells = plan(extra).cells
    assert [cell.config.train.learning_rate for cell in cells] == [1e-4, 3e-4]


def test_a_swept_setting_that_evaluation_reads_multiplies_all(plan: Planned) -> None:
    extra = "sweep: {train.max_length: [32, 64]}"
    assert [at for _, at in swept(plan, extra, methods="[none]")] == [{"train.max_length": 32}, {"train.max_length": 64}]


def test_a_swept_field_of_methods_applies_to_those_that_have_it(plan: Planned) -> None:
    found = swept(plan, "sweep: {method.r: [4, 8]}", methods="[full, {id: l, method: lora, r: 2, lora_alpha: 32}]")
    assert found == [("full", {}), ("l", {"method.r": 4}), ("l", {"method.r": 8})]
    cells = plan("sweep: {method.r: [4]}", methods="[{id: l, method: lora, r: 2, lora_alpha: 32}]").cells
    assert (cells[0].config.method.r, cells[0].config.method.lora_alpha) == (4, 32)


def test_a_swept_field_of_tasks_applies_to_tasks(plan: Planned) -> None:
    cells = plan("sweep: {task.max_train_samples: [10, 20]}").cells
    assert [cell.config.task.max_train_samples for cell in cells] == [10, 20]


def test_sweeps_cross_each_other_in_the_suites_order_of_keys(plan: Planned) -> None:
    found = swept(plan, "sweep: {train.max_steps: [1, 2], method.r: [4, 8]}", methods="[lora]")
    assert len(found) == 4
    assert all(list(at) == ["train.max_steps", "method.r"] for _, at in found)


def test_further_training_arguments_can_be_swept(plan: Planned) -> None:
    cells = plan("sweep: {train.adam_beta1: [0.8, 0.9]}").cells
    assert [cell.config.train.model_extra for cell in cells] == [{"adam_beta1": 0.8}, {"adam_beta1": 0.9}]


def test_training_settings_are_laid_over_each_other_in_order(plan: Planned) -> None:
    cells = plan(
        "train: {max_steps: 1, warmup_steps: 1, weight_decay: 0.1, learning_rate: 1, max_length: 11}\n"
        "sweep: {train.learning_rate: [5]}",
        models="[{source: random:opt-125m, train: {warmup_steps: 2, weight_decay: 0.2, learning_rate: 2, max_length: 12}}]",
        methods="[{method: full, train: {weight_decay: 0.3, learning_rate: 3, max_length: 13}}]",
        tasks="[{task: wikitext2, train: {learning_rate: 4, max_length: 14}}]",
    ).cells
    train = cells[0].config.train
    found = (train.max_steps, train.warmup_steps, train.weight_decay, train.max_length, train.learning_rate)
    assert found == (1, 2, 0.3, 14, 5)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{train.learning_rat: [1]}", "s.yaml:7:9: sweep.train.learning_rat: nothing in this suite has that field; did you mean train.learning_rate?"),
        ("{method.r: [1]}", "s.yaml:7:9: sweep.method.r: nothing in this suite has that field"),
        ("{method.method: [full]}", "nothing in this suite has that field"),
        ("{learning_rate: [1]}", "did you mean train.learning_rate?"),
        ("{train.seed: [1]}", "sweep.train.seed: decided by the harness: the suite's seeds axis says it"),
        ("{train.max_steps: 3}", "s.yaml:7:26: sweep.train.max_steps: expected a list of values, found 3"),
        ("{train.max_steps: []}", "s.yaml:7:9: sweep.train.max_steps: an empty axis"),
        ("{train.max_steps: [1, two]}", "s.yaml:7:30: sweep.train.max_steps[1]: expected an integer, found the text 'two'"),
        ("{train.adam_beta1: [x]}", "sweep.train.adam_beta1[0]: expected a number, found 'x'"),
        ("{train.max_steps: [1, 2, 1]}", "sweep.train.max_steps[2]: the value 1 is given twice"),
        ("{task.max_eval_samples: [0]}", "sweep.task.max_eval_samples[0]: expected at least 1, found 0"),
        ("[train.max_steps]", "s.yaml:7:8: sweep: expected a mapping of keys to lists of values, found a list"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sweep_is_named(problems: Problems, sweep: str, message: str) -> None:
    found = problems(f"sweep: {sweep}")
    assert len(found) == 1
    assert message in found[0]
