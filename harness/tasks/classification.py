"""Sentences, or pairs of them, into a sequence-classification head: tokenization and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.tasks.base import TaskContext
from harness.tasks.batches import (
    PaddingCollator,
    accepted,
    declare_padding,
    first_token,
    in_batches,
    refuse_non_finite,
)

if TYPE_CHECKING:
    from harness.tasks.statistics import Array


def tokenized_sentences(columns: list[list[str]], context: TaskContext) -> list[dict[str, Any]]:
    """One row per item: `input_ids`, and `token_type_ids` for encoders that have them.

    columns: one list of sentences, or two for pairs. Special tokens are the tokenizer's own; what is longer than
    max_length loses tokens from the end of the longer sentence, and the notes count such rows. A decoder's tokenizer
    has nothing between the two of a pair, so there the second starts with a line break; an encoder-decoder's row
    ends in the end-of-text token, at which its head reads. A row without any token, an empty sentence where the tokenizer
    adds nothing, is the token that a text begins with.
    """
    import numpy as np

    kind, tokenizer = context.model.kind, context.tokenizer
    if len(columns) == 2 and kind == "decoder":
        columns = [columns[0], ["\n" + sentence for sentence in columns[1]]]
    encoded = tokenizer(*columns, truncation="longest_first", max_length=context.max_length, return_attention_mask=False)
    ids = encoded["input_ids"]
    cut = _cut(encoded, columns, context)
    if kind == "encoder-decoder":
        ended = [_ended(row, tokenizer.eos_token_id, context.max_length) for row in ids]
        cut |= {index for index, (before, after) in enumerate(zip(ids, ended, strict=True)) if len(after) == len(before) and after != before}
        ids = ended
    if cut:
        context.note(f"{len(cut)} of {len(ids)} rows were longer than max_length ({context.max_length} tokens) and lost tokens from the end of the longer sentence")
    if not all(ids):
        lone = [first_token(tokenizer, "a sentence is empty, and the tokenizer has no token that a text could begin with")]
        context.note(f"{ids.count([])} of {len(ids)} rows are empty and are read as the token {tokenizer.decode(lone)} alone")
        ids = [row or lone for row in ids]
    rows: list[dict[str, Any]] = [{"input_ids": np.asarray(row, dtype=np.int32)} for row in ids]
    if kind == "encoder" and "token_type_ids" in encoded:
        for row, types in zip(rows, encoded["token_type_ids"], strict=True):
            row["token_type_ids"] = np.asarray(types, dtype=np.int8)
    return rows


def _cut(encoded: Any, columns: list[list[str]], context: TaskContext) -> set[int]:
    """The rows that truncation shortened."""
    if encoded.encodings is not None:
        return {index for index, encoding in enumerate(encoded.encodings) if encoding.overflowing}
    full = [index for index, row in enumerate(encoded["input_ids"]) if len(row) == context.max_length]
    if not full:  # a tokenizer without such bookkeeping: only rows of just that length can be shortened ones
        return set()
    whole = context.tokenizer(*([column[index] for index in full] for column in columns), verbose=False)["input_ids"]
    return {index for index, row in zip(full, whole, strict=True) if len(row) > context.max_length}


def _ended(ids: list[int], eos_token_id: int | None, max_length: int) -> list[int]:
    if eos_token_id is None or ids[-1:] == [eos_token_id]:
        return ids
    return [*ids[: max_length - 1], eos_token_id]


def head_outputs(model: Any, rows: list[dict[str, Any]], collator: PaddingCollator, context: TaskContext) -> Array:
    """The head's outputs in fp32, shape (rows, labels), in the order of the rows.

    Raises harness.errors.Diverged when one is not finite.
    """
    import torch

    declare_padding(model, collator.pad_token_id)
    takes_types = accepted(model, "token_type_ids")
    outputs = torch.empty((len(rows), model.config.num_labels), dtype=torch.float32)

    def evaluate(indices: list[int]) -> None:
        batch = collator([rows[index] for index in indices])
        if not takes_types:
            batch.pop("token_type_ids", None)
        logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits
        refuse_non_finite(logits)
        outputs[indices] = logits.float().cpu()

    in_batches([len(row["input_ids"]) for row in rows], context, evaluate)
    table: Array = outputs.numpy()
    return table
