"""MMLU: 57 subjects of four-way multiple choice, few-shot, answered by likelihood: of the letter, or of the answer written out.

Source: Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding", and its code's prompt; lm-eval's tasks
`mmlu` and `mmlu_continuation`. Protocols: docs/protocols/mmlu.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from harness.errors import DataError, Unsupported
from harness.fields import identity, later
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import ChoiceCollator, padding_collator
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.mmlu_categories import HENDRYCKS_CATEGORIES, LM_EVAL_CATEGORIES
from harness.tasks.mmlu_metrics import accuracies
from harness.tasks.mmlu_prompts import (
    ENDING,
    HENDRYCKS,
    LETTER_ANSWERS,
    LETTERS,
    LM_EVAL,
    LM_EVAL_CONTINUATION,
    PromptForm,
)
from harness.tasks.multiple_choice import (
    PromptTokenizer,
    Question,
    answer_scores,
    questions_of,
    too_long,
    training_choices,
    training_row,
)
from harness.tasks.rows.columns import Label, Text, Texts
from harness.tasks.rows.source import DataSet, Rows
from harness.tasks.statistics import Array

MOST_SHOTS = 5  # rows of every subject in dev


@TASKS.register("mmlu")
class Mmlu(BenchmarkTask):
    """All subjects of MMLU's test split; the shots are the first of the same subject in `dev`."""

    has_choices: ClassVar[bool] = True

    num_fewshot: int = identity(5, ge=0, le=MOST_SHOTS, description="solved examples of the subject before each question")
    train_split: str = identity("auxiliary_train", description="split that is trained on: auxiliary_train, or dev")
    prompt: Literal["hendrycks", "lm-eval"] = later("hendrycks", description="whose prompt: that of the paper's code, or lm-eval's")
    scoring: Literal["letter", "full-answer"] = later("letter", description="what is scored: the letter, or the answer written out (lm-eval's mmlu_continuation)")

    @model_validator(mode="after")
    def _full_answers_are_lm_evals(self) -> Mmlu:
        if self.scoring == "full-answer" and self.prompt != "lm-eval":
            raise ValueError("scoring: full-answer is lm-eval's mmlu_continuation, whose prompt shows no letters: it needs prompt: lm-eval")
        return self

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

    def input_text(self, row: dict[str, Any]) -> str:
        """Question and choices; not the subject, which auxiliary_train does not name."""
        return "\n".join([row["question"], *row["choices"]])

    def look_at_evaluation_rows(self, context: TaskContext) -> None:
        """The questions; the shots are not evaluated."""
        self.evaluation_rows("test", context)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Zero-shot prompts with the right answer after them, or with every answer in turn; the loss is on the answer alone."""
        rows = self.training_rows(context)
        questions = self._tokenized(list(rows), [self._form.prompt(row, []) for row in rows], context)
        _note_cut(sum(question.tokens > context.max_length for question in questions), len(rows), "training prompts", context)
        pairs = [(question.cut(context.max_length), answer) for question, answer in zip(questions, rows["answer"], strict=True)]
        collator = padding_collator(context)
        if not context.choices:
            return TrainingSet([training_row(question, answer) for question, answer in pairs], collator)
        return TrainingSet([training_choices(question, answer) for question, answer in pairs], ChoiceCollator(collator))

    def dev_metrics(self) -> tuple[str, ...]:
        return ("accuracy",)

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        if context.dev and self.num_fewshot:
            return self.with_shots(0).evaluate(model, context)  # dev rows are asked as those trained on are: their subjects have no shots
        rows = self.evaluation_rows("test", context)
        if not self._form.lettered:
            _refuse_empty_choices(rows)
        return self._metrics(rows, *self.scores(model, rows, context))

    def scores(self, model: Any, rows: Rows, context: TaskContext) -> tuple[list[Array], bool]:
        """Of every row the log-likelihoods of its four answers, shape (4,), letters' up to a constant per row; and whether any
        prompt was shortened to fit the model's context."""
        questions, shortened = self._questions(list(rows), context)
        return answer_scores(model, questions, padding_collator(context), context), shortened

    def _metrics(self, rows: Rows, scores: Sequence[Array], shortened: bool) -> list[Metric]:
        answered = {"accuracy": [int(each.argmax()) for each in scores]}
        if not self._form.lettered:
            lengths = [[len(choice) for choice in choices] for choices in rows["choices"]]
            answered["accuracy_norm"] = [int((each / length).argmax()) for each, length in zip(scores, lengths, strict=True)]
        protocol = self.protocol(f"mmlu/{self.prompt}-{self.num_fewshot}shot-{self.scoring}") + ("+shortened" if shortened else "")
        categories = HENDRYCKS_CATEGORIES if self.prompt == "hendrycks" else LM_EVAL_CATEGORIES
        metrics = []
        for name, predicted in answered.items():
            right = [found == answer for found, answer in zip(predicted, rows["answer"], strict=True)]
            for each in accuracies(name, rows["subject"], right, categories):
                metrics.append(metric(each.name, each.value, stderr=each.stderr, n=each.n, split="test", protocol=protocol, items=each.items))
        return metrics

    @property
    def _form(self) -> PromptForm:
        if self.prompt == "hendrycks":
            return HENDRYCKS
        return LM_EVAL if self.scoring == "letter" else LM_EVAL_CONTINUATION

    def _questions(self, rows: list[dict[str, Any]], context: TaskContext) -> tuple[list[Question], bool]:
        """The rows' prompts in tokens; and whether any does not fit the model's context with all its shots."""
        shots = self._shots({row["subject"] for row in rows}, context)
        if self.prompt == "hendrycks":
            return self._with_fewer_shots(rows, shots, context)
        questions = self._tokenized(rows, [self._form.prompt(row, shots[row["subject"]]) for row in rows], context)
        cut = too_long(questions, context)
        _note_cut(cut, len(rows), "prompts", context)
        return questions, cut > 0

    def _with_fewer_shots(self, rows: list[dict[str, Any]], shots: dict[str, list[dict[str, Any]]], context: TaskContext) -> tuple[list[Question], bool]:
        """Each with as many shots as the model's context holds, dropped from the front; and whether any were."""
        found: dict[int, Question] = {}
        waiting = list(range(len(rows)))
        shortened = False
        for dropped in range(self.num_fewshot + 1):
            asked = [rows[index] for index in waiting]
            prompts = [self._form.prompt(row, shots[row["subject"]][dropped:]) for row in asked]
            found.update(zip(waiting, self._tokenized(asked, prompts, context), strict=True))
            left = [index for index in waiting if too_long([found[index]], context)]
            if dropped and len(waiting) > len(left):
                context.note(f"mmlu: {len(waiting) - len(left)} of {len(rows)} prompts had {dropped} of {self.num_fewshot} shots dropped to fit the context")
            waiting = left
            shortened = shortened or bool(left)
        _note_cut(len(waiting), len(rows), "prompts without any shots", context)
        return [found[index] for index in range(len(rows))], shortened

    def _tokenized(self, rows: list[dict[str, Any]], prompts: list[str], context: TaskContext) -> list[Question]:
        """Letters are the same for all questions; lm-eval gives encoder-decoders the blank before the letter too."""
        if self._form.lettered and (self.prompt == "hendrycks" or context.model.kind == "decoder"):
            return list(PromptTokenizer(context, ENDING, LETTER_ANSWERS).questions(prompts))
        return questions_of(prompts, [self._form.answers(row) for row in rows], context)

    def _shots(self, subjects: set[str], context: TaskContext) -> dict[str, list[dict[str, Any]]]:
        """The first num_fewshot rows of every subject in dev; raises DataError where there are fewer."""
        by_subject: dict[str, list[dict[str, Any]]] = {subject: [] for subject in sorted(subjects)}
        if not self.num_fewshot:
            return by_subject
        dev = self.source().load("dev")
        used = []
        for index, row in enumerate(dev):
            shots = by_subject.get(row["subject"])
            if shots is not None and len(shots) < self.num_fewshot:
                shots.append(row)
                used.append(index)
        for subject, shots in by_subject.items():
            if len(shots) < self.num_fewshot:
                raise DataError(f"{dev.place}: split dev has {len(shots)} rows of {subject}; num_fewshot: {self.num_fewshot} needs as many")
        self.see("shots", "dev", dev.take(used), context)
        return by_subject


def _refuse_empty_choices(rows: Rows) -> None:
    for number, choices in enumerate(rows["choices"], 1):
        if not all(choices):
            raise DataError(f"{rows.place}: row {number} has an empty choice; scoring: full-answer needs every choice written out")


def _note_cut(count: int, total: int, what: str, context: TaskContext) -> None:
    if count:
        context.note(f"mmlu: {count} of {total} {what} were too long and lost their beginning")
