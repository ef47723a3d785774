"""Dev rows while training: which state is kept, when training stops, and that neither training nor its costs notice."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from harness.errors import DataError, Unsupported
from harness.measure.clock import StepClock
from harness.methods.base import METHODS
from harness.needs import Machine
from harness.records.measured import Training
from harness.records.parts import PhaseName
from harness.records.schema import CellResult, Metric
from harness.runs.cell import run_cell
from harness.runs.events import Event, PhaseEnded, PhaseStarted, ResultSoFar
from harness.runs.phases.early_stopping import DevCourse, mean_loss
from harness.runs.phases.trainer import DevWatch, MeasuredTrainer, Watch, training_arguments
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.suite.settings import TrainSettings
from harness.tasks.base import IGNORED_LABEL, TaskContext, TrainingSet
from harness.tasks.batches import PaddingCollator

SUITE = """
name: dev
models: [{{source: "{model}", dtype: float32}}]
quantization: [{scheme}]
methods: [{method}]
tasks: [{task}]
train: {{max_steps: {steps}, max_length: 32, per_device_train_batch_size: 8, per_device_eval_batch_size: 64, lr_scheduler_type: constant, {train}}}
measure: {{warmup_steps: 1}}
"""
SST2 = "{task: glue/sst2, data: micro, max_train_samples: 40, max_dev_samples: 60, max_eval_samples: 20}"
WIKITEXT = "{task: wikitext2, data: micro, max_train_samples: 40, max_dev_samples: 10, max_eval_samples: 2}"


def planned(folder: Path, train: str, task: str = SST2, model: str = "micro:encoder", method: str = "lora", scheme: str = "none", steps: int = 9) -> Any:
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(model=model, scheme=scheme, method=method, task=task, train=train, steps=steps))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    return cell


def live(folder: Path, train: str, **parts: Any) -> tuple[Training, CellResult, list[Event]]:
    """What training found, the cell's result, and what it reported, run in this process; the adapter is in folder/cell."""
    folder.mkdir(exist_ok=True)
    cell = planned(folder, train, **parts)
    assert cell.unsupported is None, cell.unsupported
    events: list[Event] = []
    (folder / "cell").mkdir()
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    result = [event.result for event in events if isinstance(event, ResultSoFar)][-1]
    assert result.training is not None
    return result.training, result, events


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "cell" / "adapter" / "adapter_model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def after(result: CellResult) -> list[float | None]:
    return [metric.value for metric in result.metrics if metric.when == "after"]


def scored(value: float | None, higher: bool = True) -> Metric:
    return Metric(name="m", value=value, higher_is_better=higher, split="train", protocol="p")


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(1, 4), st.sampled_from([0.0, 1.0, 2.5]), st.booleans()
)
def test_it_stops_and_keeps_where_transformers_does(scores: list[int], patience: int, threshold: float, higher: bool) -> None:
    settings = TrainSettings(load_best_model_at_end=True, early_stopping_patience=patience, early_stopping_threshold=threshold)
    theirs = transformers.EarlyStoppingCallback(patience, threshold)
    arguments, state, control = SimpleNamespace(greater_is_better=higher), SimpleNamespace(best_metric=None), transformers.TrainerControl()
    waiting, kept = iter(scores), list[int]()
    course = DevCourse(settings, lambda: scored(next(waiting), higher), lambda: lambda: kept.append(1))
    best_step = None
    for step, score in enumerate(scores, 1):
        course.evaluate(step)
        theirs.check_metric_value(arguments, state, control, score)
        if state.best_metric is None or (score > state.best_metric if higher else score < state.best_metric):
            state.best_metric, best_step = score, step  # Trainer._determine_best_metric
        assert course.best_step == best_step
        assert course.out_of_patience == (theirs.early_stopping_patience_counter >= patience)
    course.end(len(scores), 99)
    assert len(kept) == (best_step != len(scores))
    assert [(entry.step, entry.value) for entry in course.values] == list(enumerate(scores, 1))


def test_an_undefined_score_is_never_the_best() -> None:
    waiting = iter([None, 0.5, None])
    course = DevCourse(TrainSettings(early_stopping_patience=2), lambda: scored(next(waiting)), lambda: lambda: None)
    for step in (1, 2, 3):
        course.evaluate(step)
    assert (course.best_step, course.out_of_patience) == (2, False)


def rows_of(count: int, seed: int) -> list[dict[str, Any]]:
    torch.manual_seed(seed)
    ids = torch.randint(5, 100, (count, 10))
    return [{"input_ids": row.tolist(), "labels": int(row[0] > 50)} for row in ids]


@contextmanager
def no_phase(name: PhaseName) -> Iterator[None]:
    yield


@pytest.mark.parametrize("eval_steps", [4, None])
def test_a_whole_training_ends_in_the_state_that_transformers_own_trainer_ends_in(tmp_path: Path, eval_steps: int | None) -> None:
    """Same model, rows and seed: the same steps, the same best step, the same weights to the last bit. (Without dropout: theirs
    draws a random number for every evaluation.)"""
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0)
    model = transformers.BertForSequenceClassification(config)
    theirs, training, dev = copy.deepcopy(model), rows_of(48, 1), rows_of(64, 2)
    settings = TrainSettings(
        num_train_epochs=8, per_device_train_batch_size=8, learning_rate=3e-2, eval_steps=eval_steps, load_best_model_at_end=True,
        early_stopping_patience=3, metric_for_best_model="loss",
    )  # fmt: skip
    arguments = training_arguments(settings, 0, tmp_path, "cpu")
    collator = PaddingCollator(0)
    context = TaskContext(None, None, 10, 16, 0)  # type: ignore[arg-type]
    watch = Watch(StepClock("cpu", 0), lambda done, total: None, tmp_path / "training.jsonl")
    trainer = MeasuredTrainer(model, arguments, TrainingSet(training, collator), watch, METHODS.get("full")(method="full"), "sequence-classification")
    method = METHODS.get("full")(method="full")
    course = DevCourse(settings, lambda: mean_loss(model, TrainingSet(dev, collator), context), lambda: method.kept(model))
    trainer.add_callback(DevWatch(course, watch.clock, no_phase))
    trainer.train()
    course.end(trainer.state.global_step, trainer.state.max_steps)

    strategy = "epoch" if eval_steps is None else "steps"
    more = {} if eval_steps is None else {"eval_steps": eval_steps, "save_steps": eval_steps}
    reference = transformers.Trainer(
        theirs,
        transformers.TrainingArguments(
            str(tmp_path / "theirs"), num_train_epochs=8, per_device_train_batch_size=8, learning_rate=3e-2, seed=0, data_seed=0, use_cpu=True,
            eval_strategy=strategy, save_strategy=strategy, load_best_model_at_end=True, metric_for_best_model="loss", optim="adamw_torch",
            report_to=[], disable_tqdm=True, remove_unused_columns=False, label_names=["labels"], logging_steps=10, **more,
        ),
        collator, training, dev, callbacks=[transformers.EarlyStoppingCallback(3)],
    )  # fmt: skip
    reference.train()
    assert trainer.state.global_step == reference.state.global_step < trainer.state.max_steps
    assert course.best_step == reference.state.best_global_step < trainer.state.global_step
    found = {entry["step"]: entry["eval_loss"] for entry in reference.state.log_history if "eval_loss" in entry}
    assert {entry.step: entry.value for entry in course.values} == pytest.approx(found, rel=1e-5)
    assert same(model.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(
    ("method", "scheme"),
    [("lora", "none"), ("{method: adalora, tinit: 1, tfinal: 0}", "none"), pytest.param("lora", "bnb-nf4", marks=pytest.mark.slow)],
)
def test_what_is_saved_and_evaluated_is_the_best_state(tmp_path: Path, method: str, scheme: str) -> None:
    """As if training had ended there: a run of as many steps, whose rate does not fall, saves and scores the same."""
    course = "eval_steps: 2, load_best_model_at_end: true, learning_rate: 3e-2"
    kept, result, _ = live(tmp_path / "kept", course, method=method, scheme=scheme)
    assert [entry.step for entry in kept.dev] == [2, 4, 6, 8, 9]
    values = {entry.step: entry.value for entry in kept.dev if entry.value is not None}
    assert kept.best_step == max(values, key=lambda step: values[step])
    assert kept.steps == 9
    assert kept.stopped_early is None
    last, _, _ = live(tmp_path / "last", course.replace("true", "false"), method=method, scheme=scheme)
    assert last.dev == kept.dev
    assert kept.best_step != 9, "else the test shows nothing: choose another rate"
    assert not same(adapter(tmp_path / "kept"), adapter(tmp_path / "last"))
    if "adalora" in method:  # its schedule depends on the number of steps
        assert kept.rank_allocation != last.rank_allocation
        return
    _, result_of_best, _ = live(tmp_path / "best", "eval_steps: 2, learning_rate: 3e-2", method=method, scheme=scheme, steps=kept.best_step)
    assert same(adapter(tmp_path / "kept"), adapter(tmp_path / "best"))
    assert after(result) == after(result_of_best)


def test_looking_at_dev_rows_does_not_change_training(tmp_path: Path) -> None:
    often, _, _ = live(tmp_path / "often", "eval_steps: 1")
    once, _, _ = live(tmp_path / "once", "eval_steps: 9")
    assert (len(often.dev), len(once.dev)) == (9, 1)
    assert same(adapter(tmp_path / "often"), adapter(tmp_path / "once"))
    assert often.final_loss == once.final_loss


def test_a_model_that_does_not_get_better_stops_early(tmp_path: Path) -> None:
    training, result, _ = live(tmp_path, "learning_rate: 0, eval_steps: 2, early_stopping_patience: 2")
    assert (training.steps, training.best_step, training.stopped_early) == (6, 2, True)
    assert len({entry.value for entry in training.dev}) == 1
    assert {use.role: use.rows for use in result.data} == {"training": 40, "dev": 60, "evaluation": 20}


def test_dev_rows_are_evaluated_every_epoch_in_phases_of_their_own(tmp_path: Path) -> None:
    training, _, events = live(tmp_path, "metric_for_best_model: loss")
    assert [entry.step for entry in training.dev] == [5, 9], "40 rows are 5 steps of 8"
    phases = [event.reading.phase for event in events if isinstance(event, PhaseEnded)]
    assert phases[phases.index("train") :] == ["train", "evaluate_dev", "train", "evaluate_dev", "train", "evaluate_dev", "train", "check", "evaluate"]
    started = [(event.phase, event.interrupts) for event in events if isinstance(event, PhaseStarted)]
    assert [phase for phase, interrupts in started if interrupts] == ["evaluate_dev", "train"] * 3
    assert [phase for phase, interrupts in started if not interrupts].count("train") == 1


def test_a_language_model_is_chosen_by_its_loss(tmp_path: Path) -> None:
    training, _, _ = live(
        tmp_path, "eval_steps: 3, load_best_model_at_end: true", task=WIKITEXT, model="micro:decoder", method="{method: lora, target_modules: all-linear}"
    )
    assert {entry.metric for entry in training.dev} == {"loss"}
    values = {entry.step: entry.value for entry in training.dev if entry.value is not None}
    assert training.best_step == min(values, key=lambda step: values[step])


def test_without_dev_rows_nothing_is_looked_at(tmp_path: Path) -> None:
    training, _, events = live(tmp_path, "eval_steps: 2", task="{task: glue/sst2, data: micro, max_eval_samples: 20}")
    assert (training.dev, training.best_step, training.stopped_early) == ([], None, None)
    assert not any(isinstance(event, PhaseStarted) and event.phase == "evaluate_dev" for event in events)


def test_more_dev_rows_than_there_are_end_the_cell_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="glue/sst2, split train: max_dev_samples: 100000 of"):
        live(tmp_path, "eval_steps: 2", task="{task: glue/sst2, data: micro, max_dev_samples: 100000}")


@pytest.mark.parametrize(
    ("train", "task", "says"),
    [
        ("load_best_model_at_end: true", "glue/sst2", r"train.load_best_model_at_end needs rows to choose by: give the task glue/sst2 max_dev_samples"),
        ("early_stopping_patience: 2", "glue/sst2", r"train.early_stopping_patience needs rows to choose by"),
        ("metric_for_best_model: acuracy", "{task: glue/sst2, max_dev_samples: 9}", r"glue/sst2 has no acuracy on dev rows, but accuracy, loss; did you mean accuracy\?"),
        ("metric_for_best_model: perplexity", "{task: glue/sst2, max_dev_samples: 9}", r"has no perplexity on dev rows"),
        ("metric_for_best_model: f1", "{task: glue/sst2, max_dev_samples: 9}", r"has no f1"),
    ],
)
def test_a_choice_that_cannot_be_made_is_unsupported_already_in_the_plan(tmp_path: Path, train: str, task: str, says: str) -> None:
    with pytest.raises(Unsupported, match=says):
        raise Unsupported(planned(tmp_path, train, task=task).unsupported)
    assert planned(tmp_path, train, task=task, method="none").unsupported is None, "what trains nothing chooses nothing"


@pytest.mark.parametrize("kind", ["causal-lm", "whole-texts", "classification"])
def test_the_loss_is_the_mean_over_labelled_tokens_or_rows_whatever_the_batches(kind: str) -> None:
    torch.manual_seed(0)
    lengths: Sequence[int] = (3, 9, 5, 7, 4)
    if kind == "classification":
        model: Any = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16))
        rows = [{"input_ids": list(range(3, 3 + length)), "labels": length % 2} for length in lengths]
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16))
        first = 3 if kind == "whole-texts" else IGNORED_LABEL
        rows = [{"input_ids": list(range(3, 3 + length)), "labels": [first, *range(4, 3 + length)]} for length in lengths]
    model.eval()
    losses, weights = [], []
    with torch.inference_mode():
        for row in rows:
            batch = PaddingCollator(0)([row])
            losses.append(float(model(**batch).loss))
            weights.append(1 if kind == "classification" else len(row["input_ids"]) - 1)
    expected = sum(loss * weight for loss, weight in zip(losses, weights, strict=True)) / sum(weights)
    for size in (1, 2, 5):
        context = TaskContext(None, None, 10, size, 0)  # type: ignore[arg-type]
        found = mean_loss(model, TrainingSet(rows, PaddingCollator(0)), context)
        assert found.value is not None
        assert math.isclose(found.value, expected, rel_tol=1e-5)
