"""What a training batch counts as in tokens: real ones and computed ones, of every shape of batch."""

from __future__ import annotations

import torch

from harness.tasks.batch_shape import BatchShape, batch_shape, real_tokens
from harness.tasks.batches import ChoiceCollator, PaddingCollator

COLLATE = PaddingCollator(0)


def test_a_decoder_or_encoder_reads_its_input_once() -> None:
    batch = COLLATE([{"input_ids": [7, 8, 9], "labels": 1}, {"input_ids": [7], "labels": 0}])
    assert batch_shape(batch, encoder_decoder=False) == BatchShape(rows=2, source=3)
    assert (batch_shape(batch, False).tokens, int(real_tokens(batch, False))) == (6, 4)


def test_of_an_encoder_decoder_the_target_counts_beside_the_input() -> None:
    batch = COLLATE([{"input_ids": [7, 8, 9], "labels": [5, 6]}, {"input_ids": [7], "labels": [5]}])
    assert batch_shape(batch, encoder_decoder=True) == BatchShape(rows=2, source=3, target=2)
    assert (batch_shape(batch, True).tokens, int(real_tokens(batch, True))) == (10, 7)


def test_an_encoder_decoder_that_classifies_reads_its_input_in_both_stacks() -> None:
    batch = COLLATE([{"input_ids": [7, 8, 9], "labels": 1}, {"input_ids": [7], "labels": 0}])
    assert (batch_shape(batch, True).tokens, int(real_tokens(batch, True))) == (12, 8)


def test_a_span_has_no_labels_and_counts_like_a_class() -> None:
    batch = COLLATE([{"input_ids": [7, 8], "start_positions": 0, "end_positions": 1}])
    assert (batch_shape(batch, True).tokens, int(real_tokens(batch, True))) == (4, 4)
    assert (batch_shape(batch, False).tokens, int(real_tokens(batch, False))) == (2, 2)


def test_every_answer_of_a_question_is_read() -> None:
    question = {"choices": [{"input_ids": [7, 8, 9], "labels": [-100, 8, 9]}, {"input_ids": [7, 8], "labels": [-100, 8]}], "right": 0}
    batch = ChoiceCollator(COLLATE)([question, question])
    assert (batch_shape(batch, False).tokens, int(real_tokens(batch, False))) == (12, 10)


def test_a_batch_of_padding_alone_has_no_real_tokens() -> None:
    batch = {"attention_mask": torch.zeros(2, 5, dtype=torch.long), "labels": torch.zeros(2)}
    assert (batch_shape(batch, False).tokens, int(real_tokens(batch, False))) == (10, 0)
