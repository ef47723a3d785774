"""Low-data subsets: which rows are drawn, class by class, and that dev rows are never trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from data_files import write
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_models import decoder_config

from harness.errors import DataError
from harness.tasks.base import TaskContext
from harness.tasks.glue import Glue
from harness.tasks.mmlu import Mmlu
from harness.tasks.rows.subsets import carve, shares
from harness.tasks.wikitext2 import WikiText2

ContextOf = Callable[..., TaskContext]
CLASSES = [0] * 60 + [1] * 30 + [2] * 9 + [3]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.data())
def test_shares_are_those_of_the_classes_to_within_a_row_and_no_class_is_left_out(sizes: list[int], data: Any) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    given_ = shares(sizes, count)
    assert sum(given_) == count
    assert all(0 <= part <= size for part, size in zip(given_, sizes, strict=True))
    inhabited = [part for part, size in zip(given_, sizes, strict=True) if size]
    if count >= len(inhabited):
        assert all(inhabited)
    quotas = [Fraction(count * size, sum(sizes)) if count else Fraction(0) for size in sizes]
    if count and all(quota >= 1 for quota, size in zip(quotas, sizes, strict=True) if size):
        assert all(abs(part - quota) < 1 for part, quota in zip(given_, quotas, strict=True))


@given(st.integers(0, 5), st.integers(0, 60), st.integers(1, 200))
def test_dev_rows_are_not_trained_on_and_both_have_every_class(seed: int, dev: int, training: int) -> None:
    carved = carve(len(CLASSES), seed, training=training, dev=dev, strata=CLASSES)
    assert not set(carved.training) & set(carved.dev)
    assert len(carved.dev) == dev
    assert len(carved.training) == min(training, len(CLASSES) - dev)
    assert carved.training == sorted(carved.training)
    if training >= 4:
        assert {CLASSES[index] for index in carved.training} == {0, 1, 2, 3}
    if dev >= 3:
        assert {CLASSES[index] for index in carved.dev} == {0, 1, 2}, "the only row of class 3 is trained on"


def test_rows_depend_on_the_seed_and_dev_rows_on_nothing_else() -> None:
    first, again, other, larger = (carve(100, seed, training=count, dev=20, strata=CLASSES) for seed, count in ((0, 10), (0, 10), (1, 10), (0, 50)))
    assert first == again
    assert first.training != other.training
    assert first.dev == larger.dev != other.dev


def test_without_classes_rows_are_drawn_from_all_alike() -> None:
    assert len({tuple(Counter(CLASSES[index] for index in carve(100, seed, training=10).training).items()) for seed in range(10)}) > 3
    assert carve(7, 0, training=None).training == carve(7, 0, training=99).training == list(range(7))


@pytest.mark.parametrize(("dev", "strata"), [(100, None), (97, CLASSES)])
def test_dev_rows_that_leave_too_few_are_refused(dev: int, strata: Any) -> None:
    with pytest.raises(DataError, match=rf"max_dev_samples: {dev} of 100 rows leave too few to train on: at most {dev - 1}"):
        carve(100, 0, training=None, dev=dev, strata=strata)


def rte(folder: Path, **fields: Any) -> Glue:
    if not (folder / "train.csv").exists():
        write(folder / "train.csv", [{"sentence1": f"row {number}", "sentence2": "b", "label": int(number % 5 == 0)} for number in range(100)])
    return Glue(task="glue/rte", data=str(folder), **fields)


def test_a_classification_task_draws_by_class_unless_told_otherwise(tmp_path: Path, context_of: ContextOf) -> None:
    def positives(stratified: bool) -> set[int]:
        task = rte(tmp_path, max_train_samples=10, stratified=stratified)
        return {sum(task.training_rows(context_of(None, seed=seed))["label"]) for seed in range(8)}

    assert positives(stratified=True) == {2}, "a fifth of the rows"
    assert len(positives(stratified=False)) > 1


@pytest.mark.parametrize(("source", "training"), [("rest", 20), ("budget", 12)])
def test_the_dev_rows_are_beside_the_budget_or_of_it_and_in_the_record(source: str, training: int, tmp_path: Path, context_of: ContextOf) -> None:
    task, context = rte(tmp_path, max_train_samples=20, max_dev_samples=8, dev_from=source), context_of(None)
    trained = task.training_rows(context)
    dev = task.evaluation_rows("validation", replace(context, dev=True))
    assert (len(trained), len(dev)) == (training, 8)
    assert not set(trained["sentence1"]) & set(dev["sentence1"])
    uses = {use.role: use for use in context.used.uses()}
    assert {role: use.rows for role, use in uses.items()} == {"training": training, "dev": 8}
    assert (uses["dev"].split, uses["dev"].trained_on) == ("train", 0)


def test_a_budget_that_dev_rows_use_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="max_dev_samples: 20 of the 20 rows of max_train_samples leave none to train on"):
        rte(tmp_path, max_train_samples=20, max_dev_samples=20, dev_from="budget")
    rte(tmp_path, max_train_samples=20, max_dev_samples=20)


def test_fewer_rows_than_asked_for_are_told(tmp_path: Path, context_of: ContextOf) -> None:
    context = context_of(None)
    assert len(rte(tmp_path, max_train_samples=95, max_dev_samples=10).training_rows(context)) == 90
    assert context.notes == ["max_train_samples: 95 rows were asked for, and train has 90 beside 10 dev rows"]
    with pytest.raises(DataError, match=r"glue/rte, split train: max_dev_samples: 99 of 100 rows"):
        rte(tmp_path, max_dev_samples=99).training_rows(context)


def test_a_texts_blocks_are_kept_back_too(tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    write(tmp_path / "train.csv", [{"text": f"line number {number}"} for number in range(60)])
    task, context = WikiText2(task="wikitext2", data=str(tmp_path), max_train_samples=6, max_dev_samples=3), context_of(decoder_tokenizer(), max_length=16)
    trained, dev = task.training_set(context).rows, task.training_set(replace(context, dev=True)).rows
    assert (len(trained), len(dev)) == (6, 3)
    assert not {tuple(row["input_ids"]) for row in trained} & {tuple(row["input_ids"]) for row in dev}
    assert {use.role for use in context.used.uses()} == {"training", "dev"}


def test_questions_kept_back_are_asked_without_shots(tmp_path: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    """MMLU's training rows name no subject, so that there are no shots for them."""
    import torch
    from transformers import AutoModelForCausalLM

    rows = [{"question": f"What is {number}?", "subject": "", "choices": ["1", "2", "3", "4"], "answer": number % 4} for number in range(20)]
    write(tmp_path / "auxiliary_train.jsonl", rows)
    task = Mmlu(task="mmlu", data=str(tmp_path), max_dev_samples=8)
    model = AutoModelForCausalLM.from_config(decoder_config()).eval()
    with torch.inference_mode():
        (accuracy, *_) = task.evaluate(model, replace(context_of(decoder_tokenizer()), dev=True))
    assert (accuracy.name, accuracy.n) == ("accuracy", 8)
    assert task.dev_metrics() == ("accuracy",)


@pytest.mark.parametrize("size", [100, 500, 1000])
def test_the_papers_sizes_on_real_rows(size: int, shared_data: Path, context_of: ContextOf) -> None:
    """UniPELT's setting: K rows to train on beside 1,000 dev rows, of RTE's 2,490."""
    context = context_of(None)
    rows = Glue(task="glue/rte", data=str(shared_data), max_train_samples=size, max_dev_samples=1000).training_rows(context)
    whole = Glue(task="glue/rte", data=str(shared_data)).training_rows(context_of(None))
    assert len(rows) == size
    assert abs(sum(rows["label"]) / size - sum(whole["label"]) / len(whole)) <= 1 / size
    uses = {use.role: use for use in context.used.uses()}
    assert uses["dev"].rows == 1000
