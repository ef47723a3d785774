"""Evaluation in batches: by length, by tokens, and smaller ones where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.needs import ModelFacts
from harness.tasks.base import TaskContext
from harness.tasks.batches import MOST_TIMES, in_batches


@pytest.fixture
def context() -> TaskContext:
    return TaskContext(tokenizer=None, model=ModelFacts("llama", "decoder"), max_length=64, eval_batch_size=4, seed=0)  # type: ignore[arg-type]


def batches(lengths: list[int], context: TaskContext, refuse: Callable[[list[int]], bool] = lambda indices: False) -> list[list[int]]:
    """The batches that were evaluated; those that `refuse` names run out of memory."""
    done: list[list[int]] = []

    def evaluate(indices: list[int]) -> None:
        if refuse(indices):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        done.append(list(indices))

    in_batches(lengths, context, evaluate)
    return done


def test_every_item_is_in_one_batch_longest_first_and_short_ones_are_many(context: TaskContext) -> None:
    lengths = [3, 50, 10, 100, 90, 80, 70, *[5] * 100]
    found = batches(lengths, context)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    assert found[0] == [3, 4, 5, 6], "the longest, as many as the batch size says"
    for batch in found:
        longest = max(lengths[index] for index in batch)
        assert longest * len(batch) <= 4 * 100, "no batch has more tokens than the first"
        assert len(batch) <= 4 * MOST_TIMES
    assert len(found[-2]) == 4 * MOST_TIMES


def test_no_items_and_empty_items_are_no_trouble(context: TaskContext) -> None:
    assert batches([], context) == []
    assert sorted(index for batch in batches([0, 0], context) for index in batch) == [0, 1]


def test_where_memory_runs_out_batches_are_halved_from_there_on_and_the_notes_say_so(context: TaskContext) -> None:
    found = batches([8] * 12, context, refuse=lambda indices: len(indices) > 2)
    assert [len(batch) for batch in found] == [2] * 6
    assert sorted(index for batch in found for index in batch) == list(range(12))
    assert context.notes == ["evaluation: out of memory with 4 items of 8 tokens in a batch; went on with 2"]


def test_one_item_that_does_not_fit_is_out_of_memory(context: TaskContext) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        batches([8] * 4, context, refuse=lambda indices: True)


def test_another_error_is_not_taken_for_memory(context: TaskContext) -> None:
    calls: list[int] = []

    def evaluate(indices: list[int]) -> None:
        calls.append(len(indices))
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches([8] * 4, context, evaluate)
    assert calls == [4]


def test_progress_counts_items(context: TaskContext) -> None:
    told: list[tuple[int, int]] = []
    watched = TaskContext(
        tokenizer=context.tokenizer, model=context.model, max_length=64, eval_batch_size=2, seed=0, progress=lambda done, total: told.append((done, total))
    )
    in_batches([9, 9, 9], watched, lambda indices: None)
    assert told == [(2, 3), (3, 3)]
