"""What each architecture learns from text: the next token, masked tokens, corrupted spans."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.micro.corpus import Passage
from harness.micro.tokenizers import SENTINELS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

IGNORED = -100
MASKED_SHARE = 0.2
MEAN_SPAN = 3
Batches = Iterator[dict[str, "Tensor"]]


def packed(texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, length: int, batch_size: int) -> Batches:
    """Next-token prediction: texts with <s> and </s> in one stream, cut into [batch_size, length] blocks."""
    import torch

    stream: list[int] = []
    block = length * batch_size
    for text in texts:
        stream += [*tokenizer(text, verbose=False)["input_ids"], tokenizer.eos_token_id]
        while len(stream) >= block:
            tokens = torch.tensor(stream[:block]).view(batch_size, length)
            stream = stream[block:]
            yield {"input_ids": tokens, "labels": tokens}


def masked(texts: Iterator[Passage], tokenizer: PreTrainedTokenizerFast, batch_size: int, draw: random.Random) -> Batches:
    """Masked tokens, and whether the second text restates the first (BERT's next-sentence label: 0 = it does).

    Of the chosen tokens 65 % become [MASK], 25 % another token, 10 % stay: more random ones than BERT's 10 %,
    because to notice a token that does not fit is what judging acceptability needs.
    """
    import torch

    special = set(tokenizer.all_special_ids)
    while True:
        rows = list(itertools.islice(texts, batch_size))
        batch = tokenizer(
            [row.text for row in rows], [row.second or "" for row in rows], padding=True, truncation=True, max_length=96
        )
        labels = [[_corrupt(ids, i, special, tokenizer, draw) for i in range(len(ids))] for ids in batch["input_ids"]]
        restated = [IGNORED if row.restated is None else int(not row.restated) for row in rows]
        yield {name: torch.tensor(values) for name, values in
               {**batch, "labels": labels, "next_sentence_label": restated}.items()}


def _corrupt(ids: list[int], i: int, special: set[int], tokenizer: PreTrainedTokenizerFast, draw: random.Random) -> int:
    """Hides or keeps token i of `ids`, in place; its label: the token, or IGNORED where it was not chosen."""
    original = ids[i]
    if original in special or draw.random() > MASKED_SHARE:
        return IGNORED
    kind = draw.random()
    if kind < 0.65:
        ids[i] = tokenizer.mask_token_id
    elif kind < 0.9:
        ids[i] = draw.randrange(len(special), len(tokenizer))
    return original


def corrupted_spans(
    texts: Iterator[Passage], tokenizer: PreTrainedTokenizerFast, batch_size: int, draw: random.Random
) -> Batches:
    """T5's span corruption: inputs with a sentinel for every lost span, labels with the spans after their sentinels."""
    sentinels = tokenizer.convert_tokens_to_ids(list(SENTINELS))
    while True:
        rows = itertools.islice(texts, batch_size)
        texts_of = [f"{row.text} {row.second or ''}".strip() for row in rows]
        tokens = tokenizer(texts_of, add_special_tokens=False, truncation=True, max_length=96)["input_ids"]
        pairs = [span_corruption(ids, sentinels, tokenizer.eos_token_id, draw) for ids in tokens]
        inputs = tokenizer.pad({"input_ids": [one for one, _ in pairs]}, return_tensors="pt")
        labels = tokenizer.pad({"input_ids": [other for _, other in pairs]}, return_tensors="pt")
        lost = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, IGNORED)
        yield {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "labels": lost}


def span_corruption(
    ids: Sequence[int], sentinels: Sequence[int], end: int, draw: random.Random
) -> tuple[list[int], list[int]]:
    """One text as (inputs, labels): about MASKED_SHARE of its tokens lost in spans of MEAN_SPAN, both closed by `end`."""
    inputs: list[int] = []
    labels: list[int] = []
    spans = i = 0
    while i < len(ids):
        if spans < len(sentinels) and draw.random() < MASKED_SHARE / MEAN_SPAN:
            width = draw.randint(1, 2 * MEAN_SPAN - 1)
            inputs.append(sentinels[spans])
            labels += [sentinels[spans], *ids[i : i + width]]
            spans += 1
            i += width
        inputs += ids[i : i + 1]
        i += 1
    return [*inputs, end], [*labels, end]
