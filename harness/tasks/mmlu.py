"""MMLU: 57 subjects of four-way multiple choice, few-shot, answered by the likelihood of the letter.

Source: Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", and its code's prompt.
Protocol `mmlu/hendrycks-<shots>shot-letter`: docs/protocols.md.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, ClassVar

from harness.errors import DataError, Unsupported
from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import ChoiceCollator, padding_collator
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.mmlu_prompts import ANSWERS, ENDING, LETTERS, few_shot_prompt
from harness.tasks.multiple_choice import (
    PromptTokenizer,
    Question,
    answer_scores,
    training_choices,
    training_row,
)
from harness.tasks.rows.columns import Label, Text, Texts
from harness.tasks.rows.source import DataSet
from harness.tasks.statistics import proportion_stderr

MOST_SHOTS = 5  # rows of every subject in dev


@TASKS.register("mmlu")
class Mmlu(BenchmarkTask):
    """All subjects of MMLU's test split; the shots are the first of the same subject in `dev`."""

    has_choices: ClassVar[bool] = True

    num_fewshot: int = identity(5, ge=0, le=MOST_SHOTS, description="solved examples of the subject before each question")
    train_split: str = identity("auxiliary_train", description="split that is trained on: auxiliary_train, or dev")

    def dataset(self) -> DataSet:
        columns = (Text("question"), Text("subject"), Texts("choices", length=len(LETTERS)), Label("answer", classes=tuple(LETTERS)))
        return DataSet(name="mmlu", hub="cais/mmlu", config="all", columns=columns, folders=(("mmlu",), ("all",)), micro="mmlu")

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("dev", "test") if self.num_fewshot else ("test",)

    def training_split(self) -> str:
        return self.train_split

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def with_shots(self, shots: int) -> Mmlu:
        """The same questions with that many examples of their subject; raises Unsupported for more than dev has."""
        if shots > MOST_SHOTS:
            raise Unsupported(f"mmlu has {MOST_SHOTS} examples a subject; {shots} were asked for")
        return self.model_copy(update={"num_fewshot": shots})

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "answers are scored by the likelihood of the next token, which an encoder does not have"
        return super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Zero-shot prompts with the answer's letter after them, or with every letter in turn; the loss is on the letter alone."""
        rows = self.training_rows(context)
        tokenizer = PromptTokenizer(context, ENDING, ANSWERS)
        questions = list(tokenizer.questions([few_shot_prompt(row, []) for row in rows]))
        _note_cut(sum(question.tokens > context.max_length for question in questions), len(rows), "training prompts", context)
        pairs = [(question.cut(context.max_length), answer) for question, answer in zip(questions, rows["answer"], strict=True)]
        collator = padding_collator(context)
        if not context.choices:
            return TrainingSet([training_row(question, answer) for question, answer in pairs], collator)
        return TrainingSet([training_choices(question, answer) for question, answer in pairs], ChoiceCollator(collator))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        rows = self.evaluation_rows("test", context)
        questions, shortened = self._questions(list(rows), context)
        predicted = answer_scores(model, questions, padding_collator(context), context).argmax(axis=1)
        right = [int(letter) == answer for letter, answer in zip(predicted, rows["answer"], strict=True)]
        return self._metrics(rows["subject"], right, shortened)

    def _questions(self, rows: list[dict[str, Any]], context: TaskContext) -> tuple[list[Question], bool]:
        """The rows' prompts in tokens, each with as many shots as the model's context holds, dropped from the front;
        and whether any had to be dropped or cut."""
        shots = self._shots({row["subject"] for row in rows})
        tokenizer = PromptTokenizer(context, ENDING, ANSWERS)
        found: dict[int, Question] = {}
        waiting = list(range(len(rows)))
        shortened = False
        for dropped in range(self.num_fewshot + 1):
            prompts = [few_shot_prompt(rows[index], shots[rows[index]["subject"]][dropped:]) for index in waiting]
            found.update(zip(waiting, tokenizer.questions(prompts), strict=True))
            too_long = [index for index in waiting if found[index].tokens > _limit(found[index], context)]
            if dropped and len(waiting) > len(too_long):
                context.note(f"mmlu: {len(waiting) - len(too_long)} of {len(rows)} prompts had {dropped} of {self.num_fewshot} shots dropped to fit the context")
            waiting = too_long
            shortened = shortened or bool(too_long)
        _note_cut(len(waiting), len(rows), "prompts without any shots", context)
        return [found[index].cut(_limit(found[index], context)) for index in range(len(rows))], shortened

    def _shots(self, subjects: set[str]) -> dict[str, list[dict[str, Any]]]:
        """The first num_fewshot rows of every subject in dev; raises DataError where there are fewer."""
        by_subject: dict[str, list[dict[str, Any]]] = {subject: [] for subject in sorted(subjects)}
        if not self.num_fewshot:
            return by_subject
        dev = self.source().load("dev")
        for row in dev:
            if row["subject"] in by_subject:
                by_subject[row["subject"]].append(row)
        for subject, shots in by_subject.items():
            if len(shots) < self.num_fewshot:
                raise DataError(f"{dev.place}: split dev has {len(shots)} rows of {subject}; num_fewshot: {self.num_fewshot} needs as many")
        return {subject: shots[: self.num_fewshot] for subject, shots in by_subject.items()}

    def _metrics(self, subjects: list[str], right: list[bool], shortened: bool) -> list[Metric]:
        protocol = self.protocol(f"mmlu/hendrycks-{self.num_fewshot}shot-letter") + ("+shortened" if shortened else "")
        answered = Counter(subjects)
        shares = {name: sum(r for s, r in zip(subjects, right, strict=True) if s == name) / n for name, n in sorted(answered.items())}
        errors = {name: proportion_stderr(share, answered[name]) for name, share in shares.items()}
        micro, macro = sum(right) / len(right), sum(shares.values()) / len(shares)
        macro_error = math.sqrt(sum(error**2 for error in errors.values())) / len(shares)
        rows = [("accuracy", micro, proportion_stderr(micro, len(right)), len(right)), ("accuracy_macro", macro, macro_error, len(right))]
        rows += [(f"accuracy:{name}", share, errors[name], answered[name]) for name, share in shares.items()]
        return [metric(name, value, stderr=error, n=n, split="test", protocol=protocol) for name, value, error, n in rows]


def _limit(question: Question, context: TaskContext) -> int:
    """Tokens of prompt and answer that the model can take; an answer's last token is predicted, never read."""
    if context.model.context is None:
        return question.tokens
    return context.model.context + (1 if question.one_text else 0)


def _note_cut(count: int, total: int, what: str, context: TaskContext) -> None:
    if count:
        context.note(f"mmlu: {count} of {total} {what} were too long and lost their beginning")
