"""Labelled texts in two forms: a classification head on the model, or a prompt that its language-model head answers.

Source of the prompt form: Raffel et al. 2020 (T5), sec. 2.4 and appendix D, answered by rank classification as in Liu et al. 2022
(T-Few), sec. 3.1: the words of a verbalizer compete by their likelihood, nothing is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import later
from harness.needs import ModelFacts
from harness.tasks.base import Head, TaskContext, TrainingSet
from harness.tasks.batches import ChoiceCollator, padding_collator
from harness.tasks.benchmark import BenchmarkTask
from harness.tasks.multiple_choice import Question, answer_scores, training_choices, training_row
from harness.tasks.prompted.questions import Asked, Asker, refuse_alike
from harness.tasks.prompted.template import BadTemplate, Template

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

DECODERS_ENDING = "\nanswer:"  # T5's prompts end in the row's own text; a decoder must see where that ends


@dataclass(frozen=True)
class Prompt:
    """How something is asked. template: the text with columns in braces. words: what may be answered, in the order of the
    classes; empty where every row brings its own answers. ended: the end of the text belongs to an answer."""

    template: str
    words: tuple[str, ...] = ()
    ended: bool = False


class TwoForms(BenchmarkTask):
    """A benchmark with a `form`. A subclass says how it is asked (`styles`, `texts`, `answers`) and which head it needs otherwise."""

    form: Literal["head", "prompt"] = later("head", description="how it is answered: by a classification `head`, or as a `prompt` by the likelihood of words")
    prompts: Literal["t5", "lm-eval"] = later("t5", description="form prompt: whose templates and words, T5's or lm-evaluation-harness'")
    template: str | None = later(None, description="form prompt: another text to ask with, columns in braces: `{sentence} It was`")
    verbalizer: tuple[str, ...] | None = later(None, description="form prompt: other words to answer with, in the order of the classes")

    def styles(self) -> Mapping[str, Prompt]:
        """The prompts that `prompts` chooses from."""
        raise NotImplementedError

    def text_columns(self) -> tuple[str, ...]:
        """What a template may ask for."""
        raise NotImplementedError

    def texts(self, row: dict[str, Any]) -> dict[str, str]:
        """What a row puts in the place of each of `text_columns`."""
        return {name: row[name] for name in self.text_columns()}

    def answers(self, row: dict[str, Any]) -> tuple[str, ...]:
        """What may be answered to a row: the verbalizer's words, unless its answers are its own."""
        return self.prompt().words

    def class_head(self) -> Head:
        """The head of the form `head`."""
        raise NotImplementedError

    @property
    def has_choices(self) -> bool:  # type: ignore[override]  # a constant of the other tasks; here the form decides
        """Whether training rows can carry every answer: those of prompts."""
        return self.form == "prompt"

    def prompt(self) -> Prompt:
        """How it is asked: the chosen style with what the suite puts in its place."""
        style = self.styles()[self.prompts]
        template = style.template if self.template is None else self.template
        return Prompt(template, style.words if self.verbalizer is None else self.verbalizer, style.ended)

    def template_of(self, kind: str) -> Template:
        """The template as a kind of model reads it."""
        ends = kind == "decoder" and self.prompts == "t5" and self.template is None
        return Template(self.prompt().template + (DECODERS_ENDING if ends else ""))

    def head(self, model: ModelFacts) -> Head:
        if self.form == "head":
            return self.class_head()
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if self.form == "prompt" and model is not None and model.kind == "encoder":
            return "form: prompt: answers are scored by the likelihood of the next token, which an encoder does not have"
        return super().unsupported(model, trains)

    def with_shots(self, shots: int) -> TwoForms:
        """Itself without examples, in the form prompt; raises Unsupported otherwise."""
        if self.form == "head":
            raise Unsupported(f"{self.task} asks no questions in the form head; give form: prompt")
        if shots:
            raise Unsupported(f"{self.task} is asked without examples; {shots} were asked for")
        return self

    def answer_protocol(self, shortened: bool = False) -> str:
        """The protocol id of the prompt form. shortened: at least one prompt did not fit the model's context."""
        style = "" if self.prompts == "t5" else f"{self.prompts}-"
        own = [f"+own-{name}" for name in ("template", "verbalizer") if getattr(self, name) is not None]
        return self.protocol(f"{self.task}/{style}prompt-likelihood" + "".join(own)) + ("+shortened" if shortened else "")

    @model_validator(mode="after")
    def _prompt_can_be_asked(self) -> TwoForms:
        given = [name for name in ("prompts", "template", "verbalizer") if name in self.model_fields_set and getattr(self, name) is not None]
        if self.form == "head":
            if given:
                raise ValueError(f"{given[0]}: goes with form: prompt; the form here is head")
            return self
        if self.prompts not in self.styles():
            raise ValueError(f"prompts: {self.prompts} does not ask {self.task}; there is {', '.join(self.styles())}")
        try:
            Template(self.prompt().template).check(self.text_columns())
        except BadTemplate as error:
            raise ValueError(f"template: {error}") from error
        if self.verbalizer is not None:
            _check_words(self.verbalizer, self.styles()[self.prompts].words)
        return self

    def prompt_training_set(self, asked: Sequence[tuple[Asked, int]], context: TaskContext) -> TrainingSet:
        """Prompts with their right answers (asked: rows with the number of the right one), or with every answer in turn; the loss
        is on the answers' tokens alone."""
        questions, _ = self._questions([row for row, _ in asked], context.max_length, "training prompts", context)
        right = [answer for _, answer in asked]
        collator = padding_collator(context)
        if not context.choices:
            return TrainingSet([training_row(*pair) for pair in zip(questions, right, strict=True)], collator)
        return TrainingSet([training_choices(*pair) for pair in zip(questions, right, strict=True)], ChoiceCollator(collator))

    def answer_likelihoods(self, model: Any, rows: Sequence[dict[str, Any]], context: TaskContext) -> tuple[list[Array], str]:
        """Log-likelihood (nats) of every answer of every row, and the protocol id; raises harness.errors.Diverged where an output is
        not finite."""
        one_text, room = context.model.kind != "encoder-decoder", context.model.context
        limit = room + 1 if room is not None and one_text else room  # a last token is predicted, never read
        questions, cut = self._questions([self.asked(row) for row in rows], limit, "prompts", context)
        return answer_scores(model, questions, padding_collator(context), context), self.answer_protocol(shortened=cut > 0)

    def asked(self, row: dict[str, Any]) -> Asked:
        """The row as something to ask."""
        return Asked(self.texts(row), self.answers(row))

    def _questions(self, rows: Sequence[Asked], limit: int | None, what: str, context: TaskContext) -> tuple[list[Question], int]:
        """The rows in tokens, and how many had to be shortened; raises Unsupported for words that this tokenizer cannot tell apart."""
        prompt = self.prompt()
        questions, cut = Asker(context, self.template_of(context.model.kind), prompt.ended).questions(rows, limit)
        if cut:
            context.note(f"{self.task}: {cut} of {len(rows)} {what} were longer than {limit} tokens and lost the end of their longest text")
        if prompt.words and questions:
            refuse_alike(questions[0], prompt.words)
        return questions, cut


def _check_words(given: Sequence[str], usual: Sequence[str]) -> None:
    if not usual:
        raise ValueError("verbalizer: every row has answers of its own here; there are no words to choose")
    if len(given) != len(usual):
        raise ValueError(f"verbalizer: {len(given)} words for {len(usual)} classes; expected words in the place of {', '.join(usual)}")
    if any(not word.strip() or word != word.strip() for word in given):
        raise ValueError("verbalizer: a word is empty or has a blank at its beginning or end; the blank before it is put there")
    if len(set(given)) < len(given):
        raise ValueError("verbalizer: two classes have the same word, so that they could not be told apart")
