"""Token rows -> padded batches on the model's device. Padding is always on the right."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import Diverged, Unsupported
from harness.measure.torch_memory import free_memory, out_of_memory
from harness.tasks.base import CHOICE_KEYS, IGNORED_LABEL, TaskContext

MOST_TIMES = 8  # as many short items in a batch as long ones: what the outputs take grows with items, not with tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PaddingCollator:
    """Rows -> tensors of shape (rows, longest row), and the attention mask.

    Pads on the right whatever the tokenizer's padding_side says: there positions count from the first real
    token in every architecture, and a causal model never looks at what follows. Rows hold `input_ids`
    (any integer sequence), optionally `token_type_ids`, and `labels`: a number, or a sequence that is padded
    with -100.
    """

    pad_token_id: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        batch = {"attention_mask": _pad([[1] * len(row["input_ids"]) for row in rows], 0)}
        for name in rows[0]:
            values = [row[name] for row in rows]
            if isinstance(values[0], int | float):
                batch[name] = torch.tensor(values)
            else:
                batch[name] = _pad(values, {"input_ids": self.pad_token_id, "labels": IGNORED_LABEL}.get(name, 0))
        return batch


@dataclass(frozen=True)
class ChoiceCollator:
    """Questions with all their answers -> one batch, a question's answers below each other; see TrainingSet.

    A question is a dict with `choices`, a list of rows as `rows` takes them, and `right`, the index of the right one.
    """

    rows: PaddingCollator

    def __call__(self, questions: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        counts = [len(question["choices"]) for question in questions]
        before = [sum(counts[:number]) for number in range(len(counts))]
        batch = self.rows([row for question in questions for row in question["choices"]])
        numbers = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        right = torch.tensor([start + question["right"] for start, question in zip(before, questions, strict=True)])
        return batch | dict(zip(CHOICE_KEYS, (numbers, right), strict=True))


def _pad(sequences: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    import torch

    padded = torch.full((len(sequences), max(len(sequence) for sequence in sequences)), value, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = torch.as_tensor(sequence, dtype=torch.long)
    return padded


def padding_collator(context: TaskContext) -> PaddingCollator:
    """The collator of the context's tokenizer.

    A tokenizer without a pad token (most decoders') gets its end-of-text token as one, which the notes say.
    Raises Unsupported where it has neither.
    """
    tokenizer: PreTrainedTokenizerBase = context.tokenizer
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise Unsupported("the tokenizer has neither a pad token nor an end-of-text token, so rows cannot be padded to one length")
        tokenizer.pad_token = tokenizer.eos_token
        context.note(f"the tokenizer has no pad token: its end-of-text token {tokenizer.eos_token} pads")
    return PaddingCollator(int(tokenizer.pad_token_id))


def declare_padding(model: Any, pad_token_id: int) -> None:
    """Tells the model's config which token pads: sequence classification on decoders looks for the last token that is not
    padding, and would read padding where a checkpoint names another one than its tokenizer (LLaMA's -1 or 0)."""
    model.config.get_text_config().pad_token_id = pad_token_id


def first_token(tokenizer: Any, neither: str) -> int:
    """What stands before a text's very first token, or is the whole of one without tokens: the tokenizer's beginning of text,
    else its end of text. Raises Unsupported, with `neither` as its message, for a tokenizer that has neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise Unsupported(neither)


def in_batches(lengths: Sequence[int], context: TaskContext, evaluate: Callable[[list[int]], None], groups: Sequence[int] | None = None) -> None:
    """Calls evaluate(indices) until every index of `lengths` was in one batch, items of like lengths together.

    Longest first, so that memory runs out at once or never. The first batch has context.eval_batch_size items; later ones
    hold as many tokens, padding included, hence more items the shorter they are (at most MOST_TIMES as many). Where memory
    runs out, the batch is halved and so is every later one, which the notes say; a single item that does not fit raises.
    groups: of each item the group that it is in; a batch holds items of one group alone, and groups follow each other.
    evaluate must leave nothing behind when it raises. Progress is told after each batch.
    """
    group = [0] * len(lengths) if groups is None else groups
    longest: dict[int, int] = {}
    for number, length in zip(group, lengths, strict=True):
        longest[number] = max(longest.get(number, 0), length)
    waiting = sorted(range(len(lengths)), key=lambda index: (-longest[group[index]], group[index], -lengths[index]))
    items, done = context.eval_batch_size, 0
    tokens = items * max(lengths, default=1)
    while waiting:
        length = max(lengths[waiting[0]], 1)
        most = max(1, min(tokens // length, MOST_TIMES * items))
        together = group[waiting[0]]
        batch = [index for index in waiting[:most] if group[index] == together]  # those of a group are neighbours
        try:
            evaluate(batch)
        except (RuntimeError, MemoryError) as error:
            count = len(batch)
            if count == 1 or not out_of_memory(error):
                raise
            tokens, items = count // 2 * length, max(1, items // 2)
        else:
            done += len(batch)
            waiting = waiting[len(batch) :]
            context.progress(done, len(lengths))
            continue
        free_memory()
        context.note(f"evaluation: out of memory with {count} items of {length} tokens in a batch; went on with {count // 2}")


def accepted(model: Any, name: str) -> bool:
    """Whether the model's forward (below a peft wrapper) takes this argument."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return name in inspect.signature(inner.forward).parameters


def refuse_non_finite(values: torch.Tensor) -> None:
    """Raises Diverged when an output of the model is infinite or not a number: no metric is taken over such."""
    if not bool(values.isfinite().all()):
        raise Diverged("evaluation: the model's outputs are not finite (its weights diverged, or its dtype overflows)")
