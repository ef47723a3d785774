"""What a task is: data in, metrics with a protocol out; optionally something to train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import Config, identity, later
from harness.needs import ModelFacts, Needs
from harness.records.schema import Metric
from harness.registry import Registry
from harness.tasks.used_rows import UsedRows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

TASKS: Registry[Task]
IGNORED_LABEL = -100  # torch's cross-entropy skips it
NEW_HEADS = ("sequence-classification", "question-answering")  # made for the task: drawn by the seed, tuned and saved by every method
CHOICE_KEYS = ("question", "right")  # what a batch with choices holds beside what the model reads


@dataclass(frozen=True)
class Head:
    """What the model must end in: `causal-lm`, `seq2seq-lm`, `sequence-classification` or `question-answering` (a span's two ends).

    labels: number of outputs: classes (1 with problem_type `regression`), 2 for a span; None for language-model heads.
    """

    kind: str
    labels: int | None = None
    problem_type: str | None = None

    @property
    def new(self) -> bool:
        """Whether no checkpoint has it, so that it begins at random."""
        return self.kind in NEW_HEADS

    def __str__(self) -> str:
        return self.kind + (f" with {self.labels} outputs" if self.labels else "")


@dataclass(frozen=True)
class TaskContext:
    """What a task is told about the cell it works in.

    max_length: longest training or classification input in tokens (the suite's train.max_length, never more
    than the model's context). choices: training rows are to carry every answer, as TrainingSet says; asked only of
    tasks that have them. dev: `training_set` and `evaluate` are asked of the dev rows, in place of those trained on and those
    of the evaluation splits. progress(done, total): call it while evaluating. notes: append whatever the
    record must tell (rows dropped, prompts that did not fit, ...). used: which rows were read, for the record.
    """

    tokenizer: PreTrainedTokenizerBase
    model: ModelFacts
    max_length: int
    eval_batch_size: int
    seed: int
    choices: bool = False
    dev: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None
    notes: list[str] = field(default_factory=list)
    used: UsedRows = field(default_factory=UsedRows)

    def note(self, text: str) -> None:
        """Adds a note, once: a cell evaluates before and after training and would say everything twice."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class TrainingSet:
    """What the Trainer gets. rows: a list-like of dicts with `input_ids`, ... ; collator: rows -> padded tensors
    (must contain `attention_mask` and `labels`; labels -100 where no loss is taken; for a span `start_positions` and `end_positions`
    in place of `labels`).

    With choices, a row is a question and becomes as many rows of the batch as it has answers. The batch then also
    holds `question`, shape (answers,): the number of the question within the batch, and `right`, shape (questions,):
    the batch rows of the right answers.
    """

    rows: Any
    collator: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]


class Task(Config):
    """One benchmark. A subclass declares its fields, registers its names, and trains and evaluates.

    trainable: whether `training_set` exists at all. evaluates: whether `evaluate` does; a task that is only trained on
    leaves that to others (`evaluate: [mmlu]`). has_choices: whether its rows can carry every answer.
    """

    task: str = identity(description="the task's registered name")
    data: str = identity("hub", description="`hub` (the data set's usual name), `micro`, or a folder with files of the same columns")
    data_revision: str | None = identity(None, description="revision of the hub data set; null: its default branch")
    max_train_samples: int | None = identity(None, ge=1, description="train on this many rows, drawn by the seed")
    max_dev_samples: int | None = identity(None, ge=1, description="keep this many rows of the training split to choose a checkpoint by, drawn by the seed; null: none")
    dev_from: Literal["rest", "budget"] = identity("rest", description="whether dev rows come beside max_train_samples (`rest`), or are counted in it (`budget`)")
    stratified: bool = identity(True, description="draw rows class by class, so that each has its share; of tasks without classes rows are drawn from all alike")
    max_eval_samples: int | None = identity(None, ge=1, description="evaluate on the first this many rows")
    leakage: Literal["report", "refuse"] = later("report", description="rows evaluated that are also trained on: `report` them in the record, or `refuse` to train")

    needs: ClassVar[Needs] = Needs()
    trainable: ClassVar[bool] = True
    evaluates: ClassVar[bool] = True
    has_choices: ClassVar[bool] = False

    @model_validator(mode="after")
    def _room_beside_dev_rows(self) -> Task:
        dev, train = self.max_dev_samples, self.max_train_samples
        if self.dev_from == "budget" and dev is not None and train is not None and dev >= train:
            raise ValueError(f"max_dev_samples: {dev} of the {train} rows of max_train_samples leave none to train on")
        return self

    def first_items(self, count: int) -> Self:
        """The same evaluation of at most that many items, as quick as it gets: what the check of a frozen base compares."""
        return self.model_copy(update={"max_eval_samples": min(count, self.max_eval_samples or count)})

    def head(self, model: ModelFacts) -> Head:
        """The head that this task needs on that model."""
        raise NotImplementedError

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        """Why this task cannot be done with that model, or None. Called by the plan, without torch."""
        return None

    def label_words(self) -> tuple[str, ...] | None:
        """What the classes are called, in the order of their labels; None where there are no classes."""
        return None

    def dev_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `evaluate` gives of dev rows, the one that chooses unless another is asked for first;
        empty where only the loss can choose."""
        return ()

    def with_shots(self, shots: int) -> Task:
        """The same task asked with that many solved examples before each question; raises Unsupported where it asks nothing."""
        raise Unsupported(f"{self.task} asks no questions that examples could be put before")

    def check_data(self) -> None:
        """Raises DataError for local data that cannot work (missing folder, file, column, empty split); cheap,
        without torch and without a network: the plan calls it once per task. Hub data is not looked at."""

    def local_files(self) -> list[Path]:
        """Files whose content decides the result: local or micro data; empty for hub data. Raises DataError as
        `check_data` does."""
        return []

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Tokenized training rows and their collator; raises DataError."""
        raise NotImplementedError

    def look_at_evaluation_rows(self, context: TaskContext) -> None:
        """Tells context.used every row that `evaluate` will read, so that rows trained on can be found among them; raises DataError."""

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        """Every metric of the task on its evaluation split(s); leaves `when` to the caller; raises DataError.

        The model is in eval mode under torch.inference_mode and on its device (model.device).
        """
        raise NotImplementedError


TASKS = Registry("task", "harness.tasks", "harness.tasks")
