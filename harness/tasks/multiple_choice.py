"""Multiple choice by log-likelihood: which of a few answers a language model finds likeliest after a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.tasks.base import IGNORED_LABEL, TaskContext
from harness.tasks.batches import PaddingCollator, accepted, in_batches, refuse_non_finite

if TYPE_CHECKING:
    import torch

    from harness.tasks.statistics import Array

_PROMPTS_AT_ONCE = 256  # tokenized together: their ids are Python lists until packed


@dataclass(frozen=True)
class Question:
    """One question in tokens.

    prompt: what the model reads first. answers: the tokens in which the answers differ. one_text: whether
    they follow the prompt; otherwise the prompt is the encoder's and they are the decoder's, after `lead`.
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
class _Pass:
    """One row of a forward pass. given: the tokens of an answer that are read after the prompt."""

    question: Question
    scored: tuple[tuple[int, ...], ...]
    given: tuple[int, ...] = ()


def answer_scores(model: Any, questions: Sequence[Question], collator: PaddingCollator, context: TaskContext) -> Array:
    """Log-likelihood (nats, fp32) of every answer, up to a constant per question; shape (questions, answers).

    Where all answers are single tokens, one forward pass of a question scores them all; otherwise one pass
    per answer. Raises harness.errors.Diverged when an output is not finite.
    """
    import torch

    if all(len(answer) == 1 for question in questions for answer in question.answers):
        passes = [_Pass(question, question.answers) for question in questions]
    else:
        passes = [_Pass(question, (answer,), answer[:-1]) for question in questions for answer in question.answers]
    scores = torch.empty((len(passes), len(passes[0].scored)), dtype=torch.float32)

    def evaluate(indices: list[int]) -> None:
        batch = [passes[index] for index in indices]
        logits = _logits(model, batch, collator, context)
        refuse_non_finite(logits)
        for index, row, likelihoods in zip(indices, batch, logits.log_softmax(dim=-1).cpu(), strict=True):
            scores[index] = torch.stack([_sum_of(likelihoods, answer) for answer in row.scored])

    in_batches([len(row.question.prompt) for row in passes], context, evaluate)
    table: Array = scores.reshape(len(questions), -1).numpy()
    return table


def _sum_of(likelihoods: torch.Tensor, answer: tuple[int, ...]) -> torch.Tensor:
    """likelihoods: (positions, vocabulary), of which the last len(answer) predict the answer's tokens."""
    import torch

    return likelihoods[-len(answer) :].gather(1, torch.tensor(answer)[:, None]).sum()


def _logits(model: Any, batch: list[_Pass], collator: PaddingCollator, context: TaskContext) -> torch.Tensor:
    """fp32 logits of the last positions of every row: shape (rows, positions, vocabulary), where positions is
    one more than the most answer tokens given to a row."""
    if context.model.kind == "encoder-decoder":
        start = model.config.decoder_start_token_id
        sequences = [[start, *row.question.lead, *row.given] for row in batch]
        inputs = collator([{"input_ids": row.question.prompt} for row in batch])
        inputs["decoder_input_ids"] = collator([{"input_ids": ids} for ids in sequences])["input_ids"]
    else:
        sequences = [[*row.question.prompt.tolist(), *row.given] for row in batch]
        inputs = collator([{"input_ids": ids} for ids in sequences])
    inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    return _last_positions(model, inputs, [len(ids) for ids in sequences], 1 + max(len(row.given) for row in batch))


def _last_positions(model: Any, inputs: dict[str, torch.Tensor], lengths: list[int], width: int) -> torch.Tensor:
    """Logits of the last `width` real positions of right-padded rows: shape (rows, width, vocabulary), fp32.

    Positions are counted from the end, because prompt methods prepend virtual tokens. Only those that some
    row needs go through the output layer, where the model can do so: with 100,000 words in the vocabulary
    the logits of all positions would take more memory than the model.
    """
    import torch

    longest = max(lengths)
    wanted = torch.tensor([[length - longest - width + offset for offset in range(width)] for length in lengths])
    kept, rank = wanted.clamp(min=-longest).unique(return_inverse=True)  # a short row has fewer; none of it is used
    if accepted(model, "logits_to_keep"):
        logits = model(**inputs, use_cache=False, logits_to_keep=kept.to(model.device)).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, kept.to(model.device)]
    return logits[torch.arange(len(lengths), device=logits.device)[:, None], rank.to(logits.device)].float()
