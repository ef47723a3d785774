"""Multiple choice by log-likelihood: which of a few answers a language model finds likeliest after a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, Unsupported
from harness.tasks.base import IGNORED_LABEL, TaskContext
from harness.tasks.batches import PaddingCollator, first_token
from harness.tasks.likelihood.readings import Reading, log_likelihoods

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

_PROMPTS_AT_ONCE = 256  # tokenized together: their ids are Python lists until packed
_NO_FIRST_TOKEN = "a prompt has no tokens, and the tokenizer has neither a beginning-of-text nor an end-of-text token to put there"


@dataclass(frozen=True)
class Question:
    """One question in tokens.

    prompt: what the model reads first. answers: the tokens that are scored. one_text: whether they follow the
    prompt; otherwise the prompt is the encoder's and they are the decoder's, after `lead`.
    """

    prompt: Array
    answers: tuple[tuple[int, ...], ...]
    one_text: bool = True
    lead: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """Length of the prompt, and of the longest answer where it follows the prompt."""
        return len(self.prompt) + (max(len(answer) for answer in self.answers) if self.one_text else 0)

    def cut(self, tokens: int) -> Question:
        """The question with as much of its prompt's beginning cut off that `tokens` are left at most."""
        return replace(self, prompt=self.prompt[max(0, self.tokens - tokens) :])


@dataclass(frozen=True)
class Differing:
    """Token sequences split into what all begin with, what tells them apart, and what all end with."""

    before: tuple[int, ...]
    middles: tuple[tuple[int, ...], ...]
    after: tuple[int, ...]


def differing(sequences: Sequence[Sequence[int]]) -> Differing:
    """Splits sequences that differ. A part that all share adds the same to each log-likelihood, so that only
    the middles decide; the end (an end-of-text token that the tokenizer appends) belongs to no answer."""
    before = _shared(sequences)
    rest = [tuple(sequence[before:]) for sequence in sequences]
    after = min(_shared([sequence[::-1] for sequence in rest]), min(map(len, rest)) - 1)
    middles = tuple(sequence[: len(sequence) - after] for sequence in rest)
    return Differing(tuple(sequences[0][:before]), middles, rest[0][len(rest[0]) - after :])


def _shared(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with."""
    columns = enumerate(zip(*sequences, strict=False))
    return next((place for place, tokens in columns if len(set(tokens)) > 1), min(map(len, sequences)))


class PromptTokenizer:
    """Prompts and answers -> questions in tokens.

    For a decoder each answer is tokenized together with the prompt it follows, as a running text, since a
    tokenizer may write it differently alone. ending: what every prompt ends with (`\\nAnswer:`). For an
    encoder-decoder prompt and answer are two texts.
    """

    def __init__(self, context: TaskContext, ending: str, answers: Sequence[str]) -> None:
        self._tokenizer, self._answers = context.tokenizer, tuple(answers)
        self._two_texts = context.model.kind == "encoder-decoder"
        texts = [answer.strip() for answer in answers] if self._two_texts else [ending + answer for answer in answers]
        self._end = differing(self._ids(texts))

    def questions(self, prompts: Sequence[str]) -> Iterator[Question]:
        """One question per prompt, in order."""
        import numpy as np

        for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
            part = prompts[start : start + _PROMPTS_AT_ONCE]
            if self._two_texts:
                for ids in self._ids(part):
                    yield Question(np.asarray(ids, dtype=np.int32), self._end.middles, False, self._end.before)
                continue
            for prompt, ids in zip(part, self._ids([prompt + self._answers[0] for prompt in part]), strict=True):
                yield self._running_text(prompt, ids)

    def _running_text(self, prompt: str, with_first: list[int]) -> Question:
        """The end of a prompt is always the same, so the first answer, where found as expected, stands for all;
        otherwise every answer is tokenized with the prompt."""
        import numpy as np

        end = [*self._end.middles[0], *self._end.after]
        if with_first[-len(end) :] == end:
            return Question(np.asarray(with_first[: -len(end)], dtype=np.int32), self._end.middles)
        whole = differing(self._ids([prompt + answer for answer in self._answers]))
        return Question(np.asarray(whole.before, dtype=np.int32), whole.middles)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(list(texts), verbose=False)["input_ids"]
        return ids


def questions_of(prompts: Sequence[str], answers: Sequence[Sequence[str]], context: TaskContext) -> list[Question]:
    """One question per prompt with answers of its own, of any number and length, which are scored whole.

    For a decoder prompt and answer are one running text; what an answer adds to the tokens of its prompt is the answer's, and
    where tokens reach across the border, the question's prompt ends before them. For an encoder-decoder the answer is the
    decoder's text, without special tokens. Raises DataError for a question without answers and an answer without tokens.
    """
    questions: list[Question] = []
    for prompt, given in zip(prompts, answers, strict=True):
        if not given:
            raise DataError(f"a question has no answers to choose from: {prompt[-60:]!r}")
    for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
        part, theirs = prompts[start : start + _PROMPTS_AT_ONCE], answers[start : start + _PROMPTS_AT_ONCE]
        if context.model.kind == "encoder-decoder":
            found = _two_texts(part, theirs, context)
        else:
            found = _running_texts(part, theirs, context)
        for prompt, given, question in zip(part, theirs, found, strict=True):
            empty = [answer for answer, tokens in zip(given, question.answers, strict=True) if not tokens]
            if empty:
                raise DataError(f"an answer has no tokens, so that nothing can be scored: {empty[0]!r} after {prompt[-60:]!r}")
            questions.append(question)
    return questions


def _two_texts(prompts: Sequence[str], answers: Sequence[Sequence[str]], context: TaskContext) -> Iterator[Question]:
    import numpy as np

    ids = context.tokenizer(list(prompts), verbose=False)["input_ids"]
    targets = iter(context.tokenizer([text for each in answers for text in each], add_special_tokens=False, verbose=False)["input_ids"])
    for prompt, each in zip(ids, answers, strict=True):
        yield Question(np.asarray(prompt, dtype=np.int32), tuple(tuple(next(targets)) for _ in each), one_text=False)


def _running_texts(prompts: Sequence[str], answers: Sequence[Sequence[str]], context: TaskContext) -> Iterator[Question]:
    import numpy as np

    tokenizer = context.tokenizer
    texts = [*prompts, *(prompt + answer for prompt, each in zip(prompts, answers, strict=True) for answer in each)]
    ids = [_without_end(row, tokenizer.eos_token_id) for row in tokenizer(texts, verbose=False)["input_ids"]]
    whole = iter(ids[len(prompts) :])
    for prompt, each in zip(ids[: len(prompts)], answers, strict=True):
        rows = [next(whole) for _ in each]
        border = min(_shared([prompt, row]) for row in rows)
        before = rows[0][:border] or [first_token(tokenizer, _NO_FIRST_TOKEN)]
        yield Question(np.asarray(before, dtype=np.int32), tuple(tuple(row[border:]) for row in rows))


def _without_end(ids: list[int], end: int | None) -> list[int]:
    """Without the end-of-text token that a tokenizer appends: nothing follows it."""
    return ids[:-1] if len(ids) > 1 and ids[-1] == end else ids


def too_long(questions: Sequence[Question], context: TaskContext) -> int:
    """How many questions have an answer with which the prompt does not fit the model's context, and loses its beginning."""
    limit = context.model.context
    return 0 if limit is None else sum(question.tokens > limit + (1 if question.one_text else 0) for question in questions)


def training_row(question: Question, answer: int) -> dict[str, Any]:
    """The question with one of its answers as a row to train on: the loss is on the answer's tokens alone."""
    tokens = question.answers[answer]
    if not question.one_text:
        return {"input_ids": question.prompt, "labels": [*question.lead, *tokens]}
    prompt = question.prompt.tolist()
    return {"input_ids": [*prompt, *tokens], "labels": [IGNORED_LABEL] * len(prompt) + list(tokens)}


def training_choices(question: Question, answer: int) -> dict[str, Any]:
    """The question with each of its answers, and which is right: a row for ChoiceCollator."""
    return {"choices": [training_row(question, choice) for choice in range(len(question.answers))], "right": answer}


@dataclass(frozen=True)
class _Asked:
    """One reading of a question, and which of its answers are the reading's targets."""

    number: int
    reading: Reading
    answers: tuple[int, ...]


def answer_scores(model: Any, questions: Sequence[Question], collator: PaddingCollator, context: TaskContext) -> list[Array]:
    """Summed log-likelihood (nats, fp32) of the tokens of every answer: per question an array of shape (answers,).

    Answers that differ in their last token alone are scored by one reading: four letters take one. Where a prompt and an answer
    do not fit the model's context, the prompt's beginning is cut off for that answer, as lm-eval does (`too_long` counts).
    Raises Unsupported for an answer that does not fit by itself, harness.errors.Diverged when an output is not finite.
    """
    import numpy as np

    asked = [each for number, question in enumerate(questions) for each in _readings(number, question, context.model.context)]
    found = log_likelihoods(model, [each.reading for each in asked], collator, context)
    scores: list[Array] = [np.empty(len(question.answers), dtype=np.float32) for question in questions]
    for each, values in zip(asked, found, strict=True):
        scores[each.number][list(each.answers)] = values
    return scores


def _readings(number: int, question: Question, limit: int | None) -> Iterator[_Asked]:
    """The question with all but the last token of its answers, once for those that have these in common."""
    import numpy as np

    by_given: dict[tuple[int, ...], list[int]] = {}
    for place, answer in enumerate(question.answers):
        by_given.setdefault(answer[:-1], []).append(place)
    for given, places in by_given.items():
        targets = tuple(question.answers[place] for place in places)
        if limit is not None and len(given) >= limit:
            raise Unsupported(f"question {number + 1} has an answer of {len(given) + 1} tokens, and the model's context is {limit}")
        if question.one_text:
            whole = np.concatenate([question.prompt, np.asarray(given, dtype=np.int32)])
            yield _Asked(number, Reading(_end(whole, limit), targets), tuple(places))
        else:
            yield _Asked(number, Reading(_end(question.prompt, limit), targets, (*question.lead, *given)), tuple(places))


def _end(tokens: Array, limit: int | None) -> Array:
    return tokens if limit is None else tokens[-limit:]
