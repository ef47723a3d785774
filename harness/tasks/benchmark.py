"""What all benchmarks that read a data set share: checks of local data, subsets, protocol ids and rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.needs import ModelFacts
from harness.quantities import quantity
from harness.records.schema import Metric
from harness.tasks.base import Task, TaskContext
from harness.tasks.rows.columns import Label, Text, Texts
from harness.tasks.rows.source import DataSet, Rows, Source
from harness.tasks.rows.subsets import Carved, carve
from harness.tasks.used_rows import Role


class BenchmarkTask(Task):
    """A task over one data set. A subclass says which, and which splits are evaluated and trained on."""

    def dataset(self) -> DataSet:
        """The data set, its columns included."""
        raise NotImplementedError

    def evaluation_splits(self) -> tuple[str, ...]:
        """Splits that `evaluate` reads."""
        raise NotImplementedError

    def training_split(self) -> str:
        """The split that `training_set` reads."""
        return "train"

    def source(self) -> Source:
        """Where the rows come from."""
        return Source(self.dataset(), self.data, self.data_revision)

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        """A cell that trains needs a training split; one that only evaluates does not."""
        if not trains:
            return None
        try:
            missing = self.source().missing(self.training_split())
        except DataError:
            return None  # check_data says it, once for the task and not for every cell
        return f"training needs the split {self.training_split()}: {missing}" if missing else None

    def check_data(self) -> None:
        """Every evaluated split, and the training split where there is one; see Task.check_data."""
        source = self.source()
        for split in self.evaluation_splits():
            source.check(split)
        if source.missing(self.training_split()) is None:
            source.check(self.training_split())

    def local_files(self) -> list[Path]:
        """Files of the evaluated splits, and of the training split where there is one; raises DataError."""
        source = self.source()
        files = [path for split in self.evaluation_splits() for path in source.files(split)]
        if source.missing(self.training_split()) is None:
            files += [path for path in source.files(self.training_split()) if path not in files]
        return files

    def protocol(self, base: str, items: str = "rows") -> str:
        """The protocol id: `base`, plus what makes it another measurement.

        `@micro` for the micro data, `+first-<n>-<items>` for a part of the split: no number over them can be
        compared with a published one.
        """
        part = "" if self.max_eval_samples is None else f"+first-{self.max_eval_samples}-{items}"
        return base + ("@micro" if self.data == "micro" else "") + part

    def loaded(self, split: str, context: TaskContext) -> Rows:
        """All rows of a split that the task can use; whoever leaves some out notes how many. Raises DataError."""
        return self.source().load(split)

    def evaluation_rows(self, split: str, context: TaskContext) -> Rows:
        """The rows of a split that are evaluated: all, or the first max_eval_samples; of dev rows, all. Raises DataError."""
        if context.dev:
            return self.training_rows(context)
        rows = self.first_rows(self.loaded(split, context))
        self.see("evaluation", split, rows, context)
        return rows

    def first_rows(self, rows: Rows) -> Rows:
        """Of the rows of an evaluation split those that are evaluated: all, or the first max_eval_samples."""
        return rows.first(self.max_eval_samples)

    def splits_evaluated(self, context: TaskContext) -> tuple[str, ...]:
        """The splits that `evaluate` takes metrics on: of dev rows the training split alone."""
        return (self.training_split(),) if context.dev else self.evaluation_splits()

    def training_rows(self, context: TaskContext) -> Rows:
        """The rows trained on: all but the dev rows, or max_train_samples of them drawn by the seed; the dev rows themselves
        where the context asks for these. Raises DataError."""
        split = self.training_split()
        rows = self.loaded(split, context)
        carved = self.carved(len(rows), context, self.strata(rows) if self.stratified else None)
        training = rows.take(carved.training)
        self.see("training", split, training, context)
        if not carved.dev:
            assert not context.dev, "max_dev_samples says how many"
            return training
        dev = rows.take(carved.dev)
        self.see("dev", split, dev, context)
        return dev if context.dev else training

    def strata(self, rows: Rows) -> Sequence[Hashable] | None:
        """The class of each row, by which rows are drawn; None where rows have no class. By default the label, where it is one."""
        has_classes = any(isinstance(column, Label) and column.name == "label" for column in self.dataset().columns)
        return rows["label"] if has_classes else None

    def carved(self, total: int, context: TaskContext, strata: Sequence[Hashable] | None = None) -> Carved:
        """Which of `total` rows are trained on, and which are the dev rows; notes where there are fewer than asked for.

        Raises DataError where the dev rows leave too few.
        """
        dev, wanted = self.max_dev_samples or 0, self.max_train_samples
        if wanted is not None and self.dev_from == "budget":
            wanted -= dev
        try:
            carved = carve(total, context.seed, training=wanted, dev=dev, strata=strata)
        except DataError as error:
            raise DataError(f"{self.task}, split {self.training_split()}: {error}") from error
        if wanted is not None and len(carved.training) < wanted:
            beside = f" beside {dev:,} dev rows" if dev else ""
            context.note(f"max_train_samples: {wanted:,} rows were asked for, and {self.training_split()} has {len(carved.training):,}{beside}")
        return carved

    def input_text(self, row: dict[str, Any]) -> str:
        """What a row asks, without its answer: a row evaluated that asks what one trained on does is leakage. By default all
        its texts; empty where the row says too little to be told apart."""
        texts = [row[column.name] for column in self.dataset().columns if isinstance(column, Text | Texts)]
        return "\n".join(text if isinstance(text, str) else "\n".join(text) for text in texts)

    def see(self, role: Role, split: str, rows: Rows, context: TaskContext) -> None:
        """Notes rows that were read, for the record."""
        context.used.see(role, self.task, split, rows.columns, map(self.input_text, rows), rows.revision, reader=self.model_dump_json())

    def look_at_evaluation_rows(self, context: TaskContext) -> None:
        """See Task."""
        for split in self.evaluation_splits():
            self.evaluation_rows(split, context)


def metric(
    name: str, value: float | None, *, stderr: float | None, n: int, split: str, protocol: str, items: list[float] | None = None
) -> Metric:
    """A metric whose direction is that of the table of quantities; raises UnknownName for a name not in it."""
    higher_is_better = quantity(name).higher_is_better
    assert higher_is_better is not None, f"{name} is no measure of quality"
    return Metric(
        name=name, value=value, stderr=stderr, n=n, items=items, split=split, protocol=protocol, higher_is_better=higher_is_better
    )
