"""From a suite to cells: order, exclusions, what is shared, and why a cell cannot run here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from suites_for_tests import Planned, suite_text

from harness.errors import SuiteError
from harness.methods.base import METHODS, Method
from harness.needs import Machine, ModelFacts, Needs
from harness.quantization.base import SCHEMES, Scheme
from harness.suite.load import load_suite, resolved_yaml
from harness.suite.plan import make_plan
from harness.tasks.base import TASKS, Head, Task


class Fussy(Method):
    """A method that needs a GPU of some age."""

    needs: ClassVar[Needs] = Needs(cuda=True, compute_capability=(8, 0))


class Picky(Scheme):
    """A scheme for nothing."""

    def unsupported(self, model: ModelFacts | None) -> str | None:
        return "this scheme stores nothing"


class Sour(Method):
    """A method for nothing."""

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        return "this method tunes nothing"


class Exam(Task):
    """A task to evaluate only, on encoders."""

    needs: ClassVar[Needs] = Needs(kinds=("encoder",))
    trainable: ClassVar[bool] = False

    def head(self, model: ModelFacts) -> Head:
        return Head("causal-lm")


@pytest.fixture(autouse=True)
def _test_classes(register: Callable[..., None]) -> None:
    register(METHODS, "fussy", Fussy)
    register(METHODS, "sour", Sour)
    register(SCHEMES, "picky", Picky)
    register(TASKS, "exam", Exam)


def labels(plan: Planned, *arguments: str, **sections: str) -> list[str]:
    return [str(cell.labels) for cell in plan(*arguments, **sections).cells]


def test_cells_come_by_model_scheme_and_task_and_untuned_ones_first(plan: Planned) -> None:
    found = labels(plan, models="[random:opt-125m, random:opt-350m]", methods="[full, none]", tasks="[wikitext2, mmlu]", seeds="[0, 1]")
    assert found[:8] == [
        "random-opt-125m / none / none / wikitext2 / seed 0",
        "random-opt-125m / none / none / wikitext2 / seed 1",
        "random-opt-125m / none / full / wikitext2 / seed 0",
        "random-opt-125m / none / full / wikitext2 / seed 1",
        "random-opt-125m / none / none / mmlu / seed 0",
        "random-opt-125m / none / none / mmlu / seed 1",
        "random-opt-125m / none / full / mmlu / seed 0",
        "random-opt-125m / none / full / mmlu / seed 1",
    ]
    assert len(found) == 16


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"methods": "[fussy]"}, "fussy needs a CUDA device"),
        ({"methods": "[fussy]", "quantization": "[picky]"}, "fussy needs a CUDA device"),
        ({"quantization": "[picky]", "methods": "[sour]"}, "this scheme stores nothing"),
        ({"methods": "[sour]"}, "this method tunes nothing"),
        ({"quantization": "[bnb-int8]"}, "full tuning needs weights with gradients; bnb-int8 stores them quantized"),
        ({"tasks": "[exam]", "methods": "[none]"}, "exam serves encoder models; opt is a(n) decoder"),
        ({"tasks": "[exam]", "models": "[random:roberta-large]"}, "exam has nothing to train on; evaluate it with the method none"),
        ({"models": "[random:roberta-large]"}, "perplexity needs a model that predicts the next token"),
    ],
)
def test_an_unsupported_cell_keeps_its_place_and_says_why(plan: Planned, sections: dict[str, str], reason: str) -> None:
    made = plan(**sections)
    assert len(made.cells) == 1
    assert made.unsupported == made.cells
    assert reason in (made.cells[0].unsupported or "")


def test_what_a_machine_has_decides(plan: Planned) -> None:
    assert plan(methods="[fussy]", machine=Machine("cuda", (9, 0))).unsupported == []
    old = plan(methods="[fussy]", machine=Machine("cuda", (7, 5))).cells[0].unsupported
    assert old == "fussy needs compute capability 8.0 or newer; this GPU has 7.5"


def test_a_model_that_is_not_downloaded_yet_is_let_pass(plan: Planned) -> None:
    cell = plan(models="[hub:nobody/nothing]", tasks="[exam]", methods="[none]").cells[0]
    assert (cell.unsupported, cell.model_facts) == (None, None)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("{method: full}", ["none none 0", "none none 1", "bnb-nf4 none 0", "bnb-nf4 none 1"]),
        ("{method: full, quantization: 'bnb-*'}", ["none none 0", "none none 1", "none full 0", "none full 1", "bnb-nf4 none 0", "bnb-nf4 none 1"]),
        ("{quantization: [nothing, 'bnb-nf[34]']}", ["none none 0", "none none 1", "none full 0", "none full 1"]),
        ("{seed: 1}", ["none none 0", "none full 0", "bnb-nf4 none 0", "bnb-nf4 full 0"]),
        ("{seed: '*', method: none}", ["none full 0", "none full 1", "bnb-nf4 full 0", "bnb-nf4 full 1"]),
    ],
)  # fmt: skip
def test_exclude_takes_cells_out(plan: Planned, exclude: str, left: list[str]) -> None:
    made = plan(f"exclude: [{exclude}]", quantization="[none, bnb-nf4]", methods="[none, full]", seeds="[0, 1]")
    assert [f"{cell.labels.quantization} {cell.labels.method} {cell.labels.seed}" for cell in made.cells] == left
    assert made.problems == []


def test_exclude_knows_swept_keys(plan: Planned) -> None:
    made = plan("sweep: {train.learning_rate: [1e-4, 3e-4]}\nexclude: [{train.learning_rate: 1e-4}]", methods="[none, full]")
    assert [cell.labels.sweep for cell in made.cells] == [{}, {"train.learning_rate": 3e-4}]


def test_an_exclude_that_matches_nothing_is_a_warning(plan: Planned, tmp_path: Path) -> None:
    made = plan("exclude:\n  - {method: lora-*}")
    assert [str(problem) for problem in made.problems] == [
        f"{tmp_path}/s.yaml:8:5: exclude[0]: matches no cell, so it excludes nothing"
    ]


def test_a_claim_on_a_label_that_no_cell_has_is_a_warning(plan: Planned) -> None:
    made = plan("claims: [{id: a, source: s, left: {metric: f1, where: {method: lora-r8}}, relation: <, right: 1}]")
    assert "claims[0].left.where.method: no cell has a method that matches 'lora-r8'" in str(made.problems[0])


@pytest.mark.parametrize(
    ("extra", "sections", "message"),
    [
        ("exclude: [{method: '*'}]", {}, "exclude: every cell is excluded: there is nothing to run"),
        ("", {"quantization": "[bnb-nf4-dq, {id: mine, scheme: bnb-nf4-dq, double_quant: true}]"}, "s.yaml:3:28: quantization[1]: quantization bnb-nf4-dq and quantization mine are the same work"),
        ("", {"methods": "[none, {id: nothing, method: none}]"}, "methods[1]: method none and method nothing are the same work"),
        ("sweep: {train.logging_steps: [3, 4]}", {}, "train.logging_steps 3 and train.logging_steps 4 are the same work"),
        ("", {"models": "[path:nowhere]"}, "s.yaml:2:10: models[0]: model folder"),
        ("", {"models": "[random:llama-8b]"}, "did you mean llama-7b?"),
        ("", {"tasks": "[wikitext2, {id: r, task: glue/rte, data: nowhere}]"}, "s.yaml:5:20: tasks[1]: "),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused_at_its_line(plan: Planned, extra: str, sections: dict[str, str], message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        plan(extra, **sections)
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def test_every_bad_model_and_every_bad_data_folder_is_said_at_once(plan: Planned) -> None:
    with pytest.raises(SuiteError) as caught:
        plan(models="[path:a, path:b]", tasks="[{task: glue/rte, data: c}]")
    assert len(caught.value.problems) == 3


def test_data_without_a_column_is_refused_before_anything_runs(plan: Planned, rte: Path) -> None:
    (rte / "validation.csv").write_text("idx,sentence1,label\n0,a,1\n")
    with pytest.raises(SuiteError, match=r"s\.yaml:5:9: tasks\[0\]: .*sentence2"):
        plan(tasks="[{task: glue/rte, data: rte}]")


def test_data_are_looked_at_once_for_each_task(plan: Planned, rte: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(Exam, "check_data", lambda self: looked.append(self.task))
    plan(models="[random:roberta-large, random:bert-base]", tasks="[exam]", methods="[none]", seeds="[0, 1, 2]")
    assert looked == ["exam"]


def test_what_cells_share_is_named_once(plan: Planned) -> None:
    made = plan(quantization="[none, bnb-nf4]", methods="[none, full, lora]", seeds="[0, 1]")
    found = {(work.kind, work.labels): len(work.cells) for work in made.shared}
    assert found == {
        ("untuned evaluation", "random-opt-125m / none / wikitext2"): 6,
        ("untuned evaluation", "random-opt-125m / bnb-nf4 / wikitext2"): 4,
    }
    assert made.evaluations_saved == 4 + 2, "every tuned cell takes it from an untuned one"
    assert plan(methods="[full, lora]", seeds="[0, 1]").evaluations_saved == 3, "one of four has to make it"
    runnable = {cell.id for cell in made.cells if cell.unsupported is None}
    assert all(set(work.cells) <= runnable for work in made.shared)


RICH = """
defaults: [more.yaml]
title: 'off: 1e-4'
references: [qlora]
train: {learning_rate: 1e-4, adam_beta1: 0.8}
sweep: {train.max_steps: [1, 2], method.r: [4, 8]}
measure: {latency: {batch_sizes: [1, 8]}}
exclude: [{method: full, seed: 1}]
profiles: {p: {seeds: [3, 4], train: {weight_decay: 0.1}}}
report: {tables: [{rows: [method], metric: perplexity, reference: qlora.table2_datatypes}]}
claims: [{id: a, source: s, left: {metric: perplexity, where: {method: full}}, relation: <, right: 20}]
"""


@pytest.mark.parametrize("profile", [None, "p"])
def test_the_resolved_suite_gives_the_same_cells_anywhere(tmp_path: Path, rte: Path, model_folder: Path, profile: str | None) -> None:
    (tmp_path / "more.yaml").write_text("train: {max_length: 99}")
    path = tmp_path / "s.yaml"
    sections = {
        "models": "[path:bert, {source: hub:a/b, revision: 0012}]",
        "methods": "[none, full, {id: l, method: lora, target_modules: all-linear, train: {bf16: true}}]",
        "tasks": "[{id: r, task: glue/rte, data: rte}, {id: e, task: exam}]",
    }
    path.write_text(suite_text(RICH, **sections))
    suite = load_suite(path, profile)
    elsewhere = tmp_path / "run" / "suite.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(resolved_yaml(suite))
    again = load_suite(elsewhere)
    plans = [make_plan(each, Machine()) for each in (suite, again)]
    first, second = ([(cell.id, str(cell.labels), cell.unsupported) for cell in made.cells] for made in plans)
    assert first == second
    assert len(first) > 20
    assert (again.claims, again.report, again.title) == (suite.claims, suite.report, "off: 1e-4")
    assert resolved_yaml(again).splitlines()[1:] == resolved_yaml(suite).splitlines()[1:]
