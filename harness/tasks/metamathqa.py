"""MetaMathQA: rephrased problems of GSM8K and MATH with their solutions, to train on before GSM8K is evaluated.

Sources: Yu et al. 2023, "MetaMath"; which rows are used as in PEFT's method comparison, data.py. docs/tasks/gsm8k.md.
"""

from __future__ import annotations

from typing import Any, ClassVar

from harness.errors import DataError
from harness.fields import identity
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.benchmark import BenchmarkTask
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet, Rows
from harness.tasks.word_problems.solutions import NOT_ON_PROMPT, TRAIN_ON_PROMPT, solved


@TASKS.register("metamathqa")
class MetaMathQA(BenchmarkTask):
    """395,000 problems and solutions, of which PEFT's comparison takes the 94 % that are not too long."""

    evaluates: ClassVar[bool] = False

    train_on_prompt: bool = identity(True, description=TRAIN_ON_PROMPT)
    max_characters: int | None = identity(1300, ge=1, description="leave out rows with more characters than this in question, blank and solution; null: none")

    def dataset(self) -> DataSet:
        columns = (Text("query"), Text("response"))
        return DataSet(name="metamathqa", hub="meta-math/MetaMathQA", config="default", columns=columns, folders=(("metamathqa",),), micro="metamathqa")

    def evaluation_splits(self) -> tuple[str, ...]:
        return ()

    def check_data(self) -> None:
        """See Task; without a training split there is nothing to do."""
        self.source().check(self.training_split())

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "solutions are written one token after the other, which an encoder cannot do"
        if model is not None and model.kind == "encoder-decoder" and self.train_on_prompt:
            return NOT_ON_PROMPT
        return super().unsupported(model, trains)

    def input_text(self, row: dict[str, Any]) -> str:
        return str(row["query"])

    def loaded(self, split: str, context: TaskContext) -> Rows:
        """The rows that have a solution and are not too long; raises DataError where none is left."""
        rows = super().loaded(split, context)
        most = self.max_characters
        lengths = [len(query) + 1 + len(response) for query, response in zip(rows["query"], rows["response"], strict=True)]
        kept = [index for index, length in enumerate(lengths) if rows["response"][index].strip() and (most is None or length <= most)]
        if not kept:
            raise DataError(f"{rows.place}: none of its {len(rows)} rows has a solution and at most {most} characters (max_characters)")
        if len(kept) < len(rows):
            context.note(f"{self.task}: {len(rows) - len(kept)} of {len(rows)} rows are empty or have more than {most} characters, and were left out")
        return rows.take(kept)

    def training_set(self, context: TaskContext) -> TrainingSet:
        rows = self.training_rows(context)
        return solved(rows["query"], rows["response"], context, self.task, self.train_on_prompt)
