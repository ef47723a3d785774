"""What each architecture learns from text: the next token, masked tokens, corrupted spans."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.micro.corpus import Passage
from harness.micro.quiz import LETTERS
from harness.micro.tokenizers import SENTINELS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

IGNORED = -100
MASKED_SHARE = 0.2
SECOND_SHARES = (0.02, 0.4)  # of a second text: hidden words teach to look them up in the first, whole ones to compare
MEAN_SPAN = 3
ANSWER_WEIGHT = 20.0  # one token in fifty of a quiz is an answer, and only that one is ever scored
Batches = Iterator[dict[str, "Tensor"]]


def packed(texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, length: int, batch_size: int) -> Batches:
    """Next-token prediction: texts with <s> and </s> in one stream, cut into [batch_size, length] blocks.

    weights: ANSWER_WEIGHT for the letters that answer a quiz, 1 for all other tokens.
    """
    import torch

    letters = torch.tensor(tokenizer.convert_tokens_to_ids([f"Ġ{letter}" for letter in LETTERS]))
    colon = tokenizer.convert_tokens_to_ids(":")

    stream: list[int] = []
    block = length * batch_size
    for text in texts:
        stream += [*tokenizer(text, verbose=False)["input_ids"], tokenizer.eos_token_id]
        while len(stream) >= block:
            tokens = torch.tensor(stream[:block]).view(batch_size, length)
            stream = stream[block:]
            answers = torch.isin(tokens, letters) & (tokens.roll(1, dims=1) == colon)
            yield {"input_ids": tokens, "weights": torch.where(answers, ANSWER_WEIGHT, 1.0)}


def own_loss(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """The loss that the model itself computes from its batch."""
    loss: Tensor = model(**batch).loss
    return loss


def weighted_loss(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """Mean negative log-likelihood of the next token, weighted by the `weights` of the tokens predicted."""
    import torch

    logits = model(input_ids=batch["input_ids"]).logits[:, :-1].flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(logits, batch["input_ids"][:, 1:].flatten(), reduction="none")
    weights = batch["weights"][:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


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
        labels = []
        for ids, segments in zip(batch["input_ids"], batch["token_type_ids"], strict=True):
            second = draw.choice(SECOND_SHARES)
            shares = (second if 1 in segments and second < MASKED_SHARE else MASKED_SHARE, second)
            labels.append([_corrupt(ids, i, shares[segment], special, tokenizer, draw) for i, segment in enumerate(segments)])
        restated = [IGNORED if row.restated is None else int(not row.restated) for row in rows]
        yield {name: torch.tensor(values) for name, values in
               {**batch, "labels": labels, "next_sentence_label": restated}.items()}


def _corrupt(
    ids: list[int], i: int, share: float, special: set[int], tokenizer: PreTrainedTokenizerFast, draw: random.Random
) -> int:
    """Hides or keeps token i of `ids`, in place; its label: the token, or IGNORED where it was not chosen."""
    original = ids[i]
    if original in special or draw.random() > share:
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
