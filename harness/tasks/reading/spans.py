"""Answers out of a span head's outputs: the best pair of a beginning and an end over all windows of a question.

Source: Devlin et al. 2018, "BERT", sec. 4.2 and 4.3; transformers' examples/pytorch/question-answering/utils_qa.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.tasks.base import TaskContext
from harness.tasks.batches import PaddingCollator, accepted, in_batches, refuse_non_finite
from harness.tasks.reading.windows import Window

if TYPE_CHECKING:
    from harness.tasks.statistics import Array

NOTHING_FOUND = "empty"  # what utils_qa.py answers where no pair is allowed


@dataclass(frozen=True)
class Choice:
    """How a span is chosen.

    n_best: likeliest beginnings and ends of a window that are paired. max_answer_length: longest span in tokens.
    no_answer_threshold: by how much the score of no answer must exceed that of the best span; None where every question has one.
    """

    n_best: int
    max_answer_length: int
    no_answer_threshold: float | None


@dataclass(frozen=True)
class _Span:
    """start, end: the head's outputs at its ends. characters: where it stands in the context."""

    start: float
    end: float
    characters: slice

    @property
    def score(self) -> float:
        return self.start + self.end


def span_outputs(model: Any, windows: Sequence[Window], collator: PaddingCollator, context: TaskContext) -> list[Array]:
    """The head's outputs in fp32 for every window, each of shape (2, tokens): as the span's beginning, and as its end.

    Raises harness.errors.Diverged when one is not finite.
    """
    import torch

    dropped = () if accepted(model, "token_type_ids") else ("token_type_ids",)
    rows = [{name: values for name, values in window.inputs.items() if name not in dropped} for window in windows]
    found: dict[int, Array] = {}

    def evaluate(indices: list[int]) -> None:
        batch = collator([rows[index] for index in indices])
        outputs = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
        both = torch.stack((outputs.start_logits, outputs.end_logits), dim=1).float()
        refuse_non_finite(both)
        for index, values in zip(indices, both.cpu().numpy(), strict=True):
            found[index] = values[:, : len(rows[index]["input_ids"])]

    in_batches([len(row["input_ids"]) for row in rows], context, evaluate)
    return [found[index] for index in range(len(rows))]


def answers(contexts: Sequence[str], windows: Sequence[Window], outputs: Sequence[Array], choice: Choice) -> list[str]:
    """The answer to every question, cut out of its context as it stands there; empty for none.

    The score of no answer is the least of its windows' outputs for the first token, which begins and ends no span.
    """
    best: dict[int, _Span] = {}
    nothing: dict[int, tuple[float, float]] = {}
    for window, values in zip(windows, outputs, strict=True):
        start, end = values[:, 0]
        nothing[window.row] = min(nothing.get(window.row, (start, end)), (start, end), key=sum)
        span = _best_span(window, values, choice)
        if span is not None and (window.row not in best or span.score > best[window.row].score):
            best[window.row] = span
    return [_answer(context, best.get(row), sum(nothing[row]), choice) for row, context in enumerate(contexts)]


def _answer(context: str, span: _Span | None, nothing: float, choice: Choice) -> str:
    start, end = (0.0, 0.0) if span is None else (span.start, span.end)
    if choice.no_answer_threshold is not None and nothing - start - end > choice.no_answer_threshold:
        return ""
    return NOTHING_FOUND if span is None else context[span.characters]


def _best_span(window: Window, values: Array, choice: Choice) -> _Span | None:
    """The best of the pairs of n_best beginnings and ends that lie in the context, in order and not too far apart."""
    import numpy as np

    starts, ends = (np.argsort(-each, kind="stable")[: choice.n_best] for each in values)
    begins, finishes = window.offsets[starts, 0][:, None], window.offsets[ends, 1][None, :]
    tokens = ends[None, :] - starts[:, None] + 1
    allowed = (begins >= 0) & (finishes > begins) & (tokens >= 1) & (tokens <= choice.max_answer_length)
    if not allowed.any():
        return None
    scores = np.where(allowed, values[0][starts][:, None] + values[1][ends][None, :], -np.inf)
    first, last = np.unravel_index(scores.argmax(), scores.shape)
    start, end = starts[first], ends[last]
    return _Span(values[0][start], values[1][end], slice(int(window.offsets[start, 0]), int(window.offsets[end, 1])))
