"""Random rows of one length, for what does not depend on their content."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.needs import ModelFacts
from harness.tasks.base import TaskContext
from harness.tasks.synthetic import Synthetic

DECODER = ModelFacts("llama", "decoder", context=64, vocabulary=100)
ENCODER = ModelFacts("bert", "encoder", context=64, vocabulary=100)
SEQ2SEQ = ModelFacts("t5", "encoder-decoder", vocabulary=100)


def context(model: ModelFacts, special: tuple[int, ...] = (0, 1), padding: int | None = 0, seed: int = 0) -> TaskContext:
    tokenizer: Any = SimpleNamespace(all_special_ids=list(special), pad_token_id=padding, eos_token_id=1)
    return TaskContext(tokenizer=tokenizer, model=model, max_length=12, eval_batch_size=4, seed=seed)


def synthetic(**fields: Any) -> Synthetic:
    return Synthetic(task="synthetic", **fields)


def test_every_row_is_as_long_as_max_length_and_pads_nothing() -> None:
    training = synthetic(rows=5).training_set(context(DECODER))
    batch = training.collator(training.rows)
    assert batch["input_ids"].shape == (5, 12)
    assert batch["attention_mask"].sum() == 60
    assert batch["labels"].equal(batch["input_ids"])


@pytest.mark.parametrize(("special", "drawn"), [((0, 1, 2), (3, 100)), ((99,), (0, 99)), ((0, 60, 61), (1, 60))])
def test_no_row_holds_a_special_token(special: tuple[int, ...], drawn: tuple[int, int]) -> None:
    training = synthetic(rows=200).training_set(context(DECODER, special, padding=special[0]))
    found = {int(token) for row in training.rows for token in row["input_ids"]}
    assert found == set(range(*drawn))


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (synthetic(rows=3).training_set(context(DECODER, seed=seed)).rows for seed in (0, 0, 1))
    assert all(one["input_ids"].equal(two["input_ids"]) for one, two in zip(first, again, strict=True))
    assert not first[0]["input_ids"].equal(other[0]["input_ids"])


def test_the_head_is_that_of_the_family_unless_a_classification_is_asked_for() -> None:
    heads = [synthetic().head(model).kind for model in (DECODER, ENCODER, SEQ2SEQ)]
    assert heads == ["causal-lm", "sequence-classification", "seq2seq-lm"]
    assert str(synthetic(output="classification", labels=3).head(DECODER)) == "sequence-classification with 3 outputs"
    assert "an encoder writes no text" in str(synthetic(output="language-model").unsupported(ENCODER, trains=True))


def test_targets_and_classes_are_drawn_for_the_heads_that_have_them() -> None:
    (row,) = synthetic(rows=1, target_length=3).training_set(context(SEQ2SEQ)).rows
    assert (len(row["input_ids"]), len(row["labels"])) == (12, 3)
    labels = [row["labels"] for row in synthetic(rows=60, labels=3).training_set(context(ENCODER)).rows]
    assert set(labels) == {0, 1, 2}


def test_data_cannot_be_given_to_what_reads_none() -> None:
    with pytest.raises(ValidationError, match="synthetic draws its rows and reads no data: leave out data"):
        synthetic(data="micro")


def test_an_evaluation_reads_its_rows_and_scores_nothing() -> None:
    import torch

    seen: list[Any] = []

    def model(**batch: Any) -> Any:
        seen.append(batch["input_ids"].shape)
        return SimpleNamespace(logits=torch.zeros(1))

    stand_in: Any = model
    stand_in.device = "cpu"
    stand_in.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(pad_token_id=0))
    assert synthetic(evaluation_rows=6).evaluate(stand_in, context(DECODER)) == []
    assert [tuple(shape) for shape in seen] == [(4, 12), (2, 12)]
    assert synthetic().evaluate(stand_in, context(DECODER)) == []
    assert len(seen) == 2
