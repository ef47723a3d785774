"""The dev rows while training: evaluated now and then, they say which state of the model is best and when to stop.

The rules are those of transformers' EarlyStoppingCallback and load_best_model_at_end, under their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.records.measured import DevValue
from harness.records.schema import Metric
from harness.runs.phases.evaluate import metrics_of
from harness.suite.choosing import LOSS, choosing_metric
from harness.suite.settings import TrainSettings
from harness.tasks.base import IGNORED_LABEL, TaskContext, TrainingSet
from harness.tasks.batches import in_batches, refuse_non_finite

if TYPE_CHECKING:
    import torch

    from harness.runs.cell import Life

Put = Callable[[], None]


class DevCourse:
    """The evaluations of the dev rows of one training, and the state that scored best.

    look: evaluates the model as it stands. keep: copies what training changes, and returns what puts it back. values: what was
    found so far. best_step: where the score was best, None as long as it was defined nowhere.
    stopped_early: whether patience ended training; None before its end, and where none was asked for.
    """

    def __init__(self, settings: TrainSettings, look: Callable[[], Metric], keep: Callable[[], Put]) -> None:
        self.values: list[DevValue] = []
        self.best_step: int | None = None
        self.stopped_early: bool | None = None
        self._settings, self._look, self._keep = settings, look, keep
        self._best: float | None = None
        self._put_back: Put | None = None
        self._no_better = 0

    def due_after(self, step: int) -> bool:
        """Whether the dev rows are to be evaluated after that optimizer step, an end of an epoch or not."""
        every = self._settings.eval_steps
        return every is not None and step % every == 0

    @property
    def due_after_epochs(self) -> bool:
        """Whether they are to be evaluated at the ends of epochs."""
        return self._settings.eval_steps is None

    def evaluate(self, step: int) -> None:
        """Evaluates the dev rows after that step, and keeps the model's state where it is the best so far. Once a step."""
        if self.values and self.values[-1].step == step:
            return
        metric = self._look()
        self.values.append(DevValue(step=step, metric=metric.name, value=metric.value))
        self._count(metric)
        if metric.value is not None and (self._best is None or _gain(metric, self._best) > 0):
            self._best, self.best_step = metric.value, step
            if self._settings.load_best_model_at_end:
                self._put_back = None  # so that the host never holds two copies
                self._put_back = self._keep()

    @property
    def out_of_patience(self) -> bool:
        """Whether training is to stop."""
        patience = self._settings.early_stopping_patience
        return patience is not None and self._no_better >= patience

    def end(self, step: int, planned: int) -> None:
        """After the last step: evaluates the state that training ended in, and puts the best one in its place."""
        self.stopped_early = None if self._settings.early_stopping_patience is None else step < planned
        self.evaluate(step)
        if self._put_back is not None and self.best_step != step:
            self._put_back()
        self._put_back = None

    def _count(self, metric: Metric) -> None:
        """One more that is no better, or a new beginning. An undefined score is no better."""
        better = metric.value is not None and (self._best is None or _gain(metric, self._best) > self._settings.early_stopping_threshold)
        self._no_better = 0 if better else self._no_better + 1


def _gain(metric: Metric, best: float) -> float:
    assert metric.value is not None, "an undefined score is not compared"
    return metric.value - best if metric.higher_is_better else best - metric.value


def prepare(life: Life) -> None:
    """Reads and tokenizes the dev rows, where the task keeps any; raises Unsupported where it does not know how to."""
    task = life.cell.config.task
    if task.max_dev_samples is None:
        return
    life.dev_set = task.training_set(replace(life.context(), dev=True))
    if not any(use.role == "dev" for use in life.used.uses()):
        raise Unsupported(f"{task.task} keeps no dev rows: leave out max_dev_samples")


def course(life: Life) -> DevCourse | None:
    """What chooses by the dev rows of this cell; None where there are none."""
    config, method, model = life.cell.config, life.method, life.model
    if life.dev_set is None:
        return None
    assert method is not None, "size comes first"
    name = choosing_metric(config)
    return DevCourse(config.train, lambda: dev_metric(life, name), lambda: method.kept(model))


def dev_metric(life: Life, name: str) -> Metric:
    """That metric of the life's model as it stands, on the dev rows; raises Unsupported where the task does not give it."""
    context = replace(life.context(), dev=True)
    if name == LOSS:
        assert life.dev_set is not None, "prepare comes first"
        return mean_loss(life.model, life.dev_set, context)
    metrics = metrics_of(life, life.cell.config.task, context)
    found = next((metric for metric in metrics if metric.name == name), None)
    if found is None:
        given = ", ".join(dict.fromkeys(metric.name for metric in metrics))
        raise Unsupported(f"{life.cell.config.task.task} gives no {name} on dev rows, but {given}")
    return found


def mean_loss(model: Any, rows: TrainingSet, context: TaskContext) -> Metric:
    """The mean of the model's own loss, over the labelled tokens of a language model's rows and over a classifier's rows. A
    decoder's first token is context only, behind virtual tokens too.

    Raises Diverged for one that is not finite.
    """
    import torch

    total, weights = 0.0, 0

    def add(indices: list[int]) -> None:
        nonlocal total, weights
        batch = {name: values.to(model.device) for name, values in rows.collator([rows.rows[index] for index in indices]).items()}
        weight = _predicted(batch, decodes=not model.config.is_encoder_decoder)
        if not weight:  # a mean over nothing is no number
            return
        loss = model(**batch).loss
        refuse_non_finite(loss)
        total, weights = total + float(loss) * weight, weights + weight

    model.eval()
    with torch.inference_mode():
        in_batches([len(row["input_ids"]) for row in rows.rows], context, add)
    value = total / weights if weights else None
    return Metric(name=LOSS, value=value, n=len(rows.rows), higher_is_better=False, split="dev", protocol="dev/loss")


def _predicted(batch: dict[str, torch.Tensor], decodes: bool) -> int:
    """How many tokens or rows the batch's loss is the mean over. A decoder predicts no first token, and is to predict none after
    virtual tokens either: its label goes."""
    labels = batch.get("labels")
    if labels is None or labels.dim() == 1:  # a span has its two ends in their place
        return len(batch["attention_mask"])
    if decodes:
        labels[:, 0] = IGNORED_LABEL
    return int((labels != IGNORED_LABEL).sum())
