"""Perplexity on WikiText-2 as GPTQ and its successors report it, and language-model tuning on its training text.

Source: Frantar et al. 2022, "GPTQ", sec. 4, and its code's evaluation loop. Protocol `wikitext2/gptq-<window>`:
docs/protocols.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator, refuse_non_finite
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet, draw

if TYPE_CHECKING:
    import torch

    from harness.tasks.statistics import Array

WINDOW = 2048  # tokens; GPTQ's model.seqlen
_NAMES = ("wikitext2", "wikitext-2-raw-v1")
WIKITEXT2 = DataSet(
    name="wikitext2", hub="Salesforce/wikitext", config="wikitext-2-raw-v1", columns=(Text("text"),),
    folders=((*_NAMES, "wikitext"), _NAMES), micro="wikitext",
)  # fmt: skip
_POSITIONS_AT_ONCE = 512  # of one window turned into fp32: bounds the memory that the loss takes


@TASKS.register("wikitext2")
class WikiText2(BenchmarkTask):
    """WikiText-2 (raw): perplexity over the test split, for decoders."""

    train_split: str = identity("train", description="split that is trained on: train, or the name of a local file")
    max_eval_samples: int | None = identity(None, ge=1, description="evaluate on the first this many windows")
    max_train_samples: int | None = identity(None, ge=1, description="train on this many blocks of max_length tokens, drawn by the seed")

    def dataset(self) -> DataSet:
        return WIKITEXT2

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def training_split(self) -> str:
        return self.train_split

    def head(self, model: ModelFacts) -> Head:
        return Head("causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "perplexity needs a model that predicts the next token; an encoder sees both sides of it"
        if model is not None and model.kind == "encoder-decoder":
            return "perplexity over running text is defined for decoders; an encoder-decoder has no input to encode here"
        return super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """Blocks of max_length tokens of the joined training text; labels are the input. The rest is dropped."""
        tokens = self._tokens(self.train_split, context)
        blocks = _blocks(tokens, context.max_length, f"training split {self.train_split}")
        chosen = draw(len(blocks), self.max_train_samples, context.seed)
        rows = [{"input_ids": blocks[index], "labels": blocks[index]} for index in chosen]
        return TrainingSet(rows, padding_collator(context))

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        length = min(WINDOW, context.model.context or WINDOW)
        windows = _blocks(self._tokens("test", context), length, "test split")[: self.max_eval_samples]
        losses = window_losses(model, windows, context)
        value, stderr = perplexity(losses)
        items = None if value is None else contributions(losses, value)
        if value is None:
            context.note(f"perplexity: the mean loss of {sum(losses) / len(losses):.4g} is too large for exp")
        protocol = self.protocol(f"wikitext2/gptq-{length}", "windows")
        return [metric("perplexity", value, stderr=stderr, n=len(losses), split="test", protocol=protocol, items=items)]

    def _tokens(self, split: str, context: TaskContext) -> Array:
        """The split's text, rows joined by a blank line, tokenized once with the tokenizer's own special tokens."""
        import numpy as np

        text = "\n\n".join(self.source().load(split)["text"])
        return np.asarray(context.tokenizer(text, verbose=False)["input_ids"], dtype=np.int32)


def perplexity(losses: list[float]) -> tuple[float | None, float | None]:
    """exp of the mean of the windows' mean losses, and its standard error; (None, None) where exp overflows.

    The error is of first order (delta method): the perplexity times the standard error of the mean loss over
    windows; None for a single window. With windows of one length this is GPTQ's exp(sum(loss * length) / (windows * length)).
    """
    mean = sum(losses) / len(losses)
    try:
        value = math.exp(mean)
    except OverflowError:
        return None, None
    if len(losses) == 1:
        return value, None
    variance = sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1)
    return value, value * math.sqrt(variance / len(losses))


def contributions(losses: list[float], value: float) -> list[float]:
    """What each window contributes to the perplexity `value`, to first order: their mean is it, their standard error its own.

    Windows are hard or easy for every model alike, so that the differences of two cells' contributions spread far less than either's.
    """
    mean = sum(losses) / len(losses)
    return [value * (1 + loss - mean) for loss in losses]


def window_losses(model: Any, windows: Array, context: TaskContext) -> list[float]:
    """Mean negative log-likelihood (nats) of each window's tokens but its first, given those before in the window.

    windows: shape (windows, tokens). Raises harness.errors.Diverged when one is not finite.
    """
    import torch

    losses: list[float] = []
    for start in range(0, len(windows), context.eval_batch_size):
        ids = torch.as_tensor(windows[start : start + context.eval_batch_size], dtype=torch.long, device=model.device)
        # Prompt methods prepend virtual tokens, whose positions have outputs too: the text's are the last ones.
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, -ids.shape[1] :]
        losses += [_mean_loss(window[:-1], text[1:].to(window.device)) for window, text in zip(logits, ids, strict=True)]
        context.progress(len(losses), len(windows))
    return losses


def _mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """logits: (tokens, vocabulary), targets: (tokens,) of one window."""
    import torch

    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    for start in range(0, len(targets), _POSITIONS_AT_ONCE):
        part = slice(start, start + _POSITIONS_AT_ONCE)
        total += torch.nn.functional.cross_entropy(logits[part].float(), targets[part], reduction="sum").double()
    refuse_non_finite(total)
    return float(total) / len(targets)


def _blocks(tokens: Array, length: int, what: str) -> Array:
    """Non-overlapping blocks, shape (blocks, length); the last, partial one is dropped. Raises DataError for none."""
    count = len(tokens) // length
    if count == 0:
        raise DataError(f"wikitext2: the {what} has {len(tokens)} tokens with this tokenizer; one block takes {length}")
    return tokens[: count * length].reshape(count, length)
