"""What a cell is evaluated on: its own task, others in its place, others beside it."""

from __future__ import annotations

import pytest
import yaml
from suites_for_tests import Load, Planned, Problems

from harness.suite.resolved import resolved_yaml
from harness.tasks.base import TASKS
from harness.tasks.wikitext2 import WikiText2

MICRO = "[micro:decoder]"
WIKI = "task: wikitext2, data: micro"
QUIZ = "{task: mmlu, data: micro}"


def test_others_are_evaluated_in_the_tasks_place_or_beside_it(plan: Planned) -> None:
    entries = f"[{{id: a, {WIKI}, evaluate: [{QUIZ}]}}, {{id: b, {WIKI}, also: [{QUIZ}, {{id: wiki, {WIKI}, max_eval_samples: 3}}]}}]"
    first, second = plan(models=MICRO, tasks=entries).cells
    assert [(label, task.task) for label, task in first.config.evaluated] == [("mmlu", "mmlu")]
    assert [(label, task.task) for label, task in second.config.evaluated] == [(None, "wikitext2"), ("mmlu", "mmlu"), ("wiki", "wikitext2")]
    assert [other.beside for other in second.config.evaluations.others] == [True, True]


def test_train_with_a_name_is_the_task_and_with_a_mapping_settings(plan: Planned) -> None:
    named, settings = plan(models=MICRO, tasks=f"[{{id: a, train: wikitext2, data: micro}}, {{id: b, {WIKI}, max_train_samples: 5, train: {{max_steps: 3}}}}]").cells
    assert (named.config.task.task, named.config.train.max_steps) == ("wikitext2", -1)
    assert (settings.config.task.task, settings.config.train.max_steps) == ("wikitext2", 3)


def test_an_evaluation_is_part_of_the_cell_id_by_its_content_and_not_by_its_label(plan: Planned) -> None:
    def cell_id(evaluations: str) -> str:
        return plan(models=MICRO, tasks=f"[{{id: a, {WIKI}{evaluations}}}]").cells[0].id

    own, named, renamed = cell_id(""), cell_id(f", also: [{QUIZ}]"), cell_id(", also: [{id: quiz, task: mmlu, data: micro}]")
    fewer = cell_id(", also: [{task: mmlu, data: micro, max_eval_samples: 5}]")
    assert named == renamed
    assert len({own, named, fewer}) == 3


def test_evaluations_before_training_are_shared_between_training_sets(plan: Planned) -> None:
    entries = f"[{{id: a, {WIKI}, max_train_samples: 4, evaluate: [{QUIZ}]}}, {{id: b, {WIKI}, max_train_samples: 8, evaluate: [{QUIZ}]}}]"
    made = plan(models=MICRO, tasks=entries)
    (first,), (second,) = (cell.untuned_ids for cell in made.cells)
    assert first == second
    assert made.evaluations_saved == 1
    assert made.shared[0].labels == "micro-decoder / none / mmlu / seed 0"


def test_an_evaluation_that_needs_another_head_is_refused_by_the_plan(plan: Planned) -> None:
    (cell,) = plan(models=MICRO, tasks=f"[{{task: glue/sst2, data: micro, also: [{{{WIKI}}}]}}]").cells
    assert cell.unsupported == (
        "evaluation wikitext2 needs the head causal-lm, and the task glue/sst2 gives the model the head sequence-classification with 2 outputs"
    )


def test_few_shot_asks_what_stands_in_the_tasks_place_and_leaves_what_stands_beside_it(plan: Planned) -> None:
    entry = f"[{{id: a, {WIKI}, evaluate: [{QUIZ}], also: [{{id: zero, task: mmlu, data: micro, num_fewshot: 0}}]}}]"
    (cell,) = plan(models=MICRO, methods="[{id: two, method: few-shot, k: 2}]", tasks=entry).cells
    assert cell.unsupported is None
    assert [(label, task.model_dump()["num_fewshot"]) for label, task in cell.config.evaluated] == [("mmlu", 2), ("zero", 0)]


def test_the_resolved_suite_says_the_same(load: Load, plan: Planned) -> None:
    entry = f"[{{id: a, {WIKI}, evaluate: [{QUIZ}], also: [{{id: w, {WIKI}}}]}}]"
    written = yaml.safe_load(resolved_yaml(load(models=MICRO, tasks=entry)))["tasks"][0]
    assert written == {
        "id": "a", "task": "wikitext2", "data": "micro",
        "evaluate": [{"id": "mmlu", "task": "mmlu", "data": "micro"}], "also": [{"id": "w", "task": "wikitext2", "data": "micro"}],
    }  # fmt: skip
    again = plan(models=MICRO, tasks=yaml.safe_dump([written], default_flow_style=True, width=10_000).strip())
    assert again.cells[0].id == plan(models=MICRO, tasks=entry).cells[0].id


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (f"{{{WIKI}, also: [mmlo]}}", "tasks[0].also[0]: unknown task 'mmlo'; did you mean mmlu?"),
        (f"{{{WIKI}, also: [{{task: mmlu, num_fewshots: 2}}]}}", "tasks[0].also[0].num_fewshots: unknown key; did you mean num_fewshot?"),
        (f"{{{WIKI}, also: []}}", "tasks[0].also: an empty axis: there is nothing to run; give at least one entry"),
        (f"{{{WIKI}, also: mmlu}}", "tasks[0].also: expected a list of entries, found the text 'mmlu'"),
        (f"{{{WIKI}, evaluate: [mmlu], also: [mmlu]}}", "tasks[0].also[0].id: the id mmlu is already that of tasks[0].evaluate[0]"),
        (f"{{{WIKI}, also: [{{task: mmlu, also: [wikitext2]}}]}}", "tasks[0].also[0].also: unknown key"),
        ("{train: wikitext3, data: micro}", "tasks[0].train: unknown task 'wikitext3'; did you mean wikitext2?"),
    ],
)
def test_what_is_wrong_with_an_evaluation_is_said_where_it_is_written(entry: str, said: str, problems: Problems) -> None:
    (found,) = problems(tasks=f"[{entry}]")
    assert said in found


def test_a_task_that_is_only_trained_on_needs_an_evaluation_and_can_be_none(problems: Problems, plan: Planned, register) -> None:  # type: ignore[no-untyped-def]
    class OnlyText(WikiText2):
        evaluates = False

    register(TASKS, "only-text", OnlyText)
    (found,) = problems(tasks="[{task: only-text, data: micro}]")
    assert "this task is only trained on: say what is evaluated, as in evaluate: [mmlu]" in found
    (found,) = problems(tasks=f"[{{{WIKI}, also: [{{task: only-text, data: micro}}]}}]")
    assert "this task is only trained on: it evaluates nothing" in found
    (cell,) = plan(models=MICRO, tasks=f"[{{train: only-text, data: micro, evaluate: [{QUIZ}]}}]").cells
    assert cell.unsupported is None
