"""Speed of models with a task head on real, small, randomly initialised models: encoder, decoder, encoder-decoder."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.latency import Repetitions
from harness.measure.latency_batch import batch_latency

VOCABULARY, PAD, EOS = 99, 0, 2


def encoder() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64
    )
    return BertForSequenceClassification(config)


def span_encoder() -> Any:
    from transformers import BertForQuestionAnswering

    return BertForQuestionAnswering(encoder().config)


def decoder() -> Any:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=PAD, eos_token_id=EOS,
    )  # fmt: skip
    return LlamaForSequenceClassification(config)


def encoder_decoder() -> Any:
    from transformers import BartConfig, BartForSequenceClassification

    config = BartConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, pad_token_id=1, eos_token_id=EOS,
    )  # fmt: skip
    return BartForSequenceClassification(config)


def tuned() -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(encoder(), LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"]))


MODELS = {"encoder": encoder, "encoder for spans": span_encoder, "decoder": decoder, "encoder-decoder": encoder_decoder, "encoder with lora": tuned}


def watch(model: Any) -> list[dict[str, Any]]:
    """Remembers what every forward of `model` is called with."""
    seen: list[dict[str, Any]] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    return seen


@pytest.mark.parametrize("kind", MODELS)
def test_rows_of_one_length_are_answered_in_batches_of_one_size(kind: str) -> None:
    model = MODELS[kind]()
    model.train()
    seen = watch(model)
    found = batch_latency(model, batch_size=5, tokens=12, repetitions=Repetitions(3, warmup=2), device="cpu", seed=0)
    assert (found.batch_size, found.tokens, found.repeats) == (5, 12, 3)
    assert 0 < found.batch_ms.p50 <= found.batch_ms.p90 <= found.batch_ms.p99
    assert len(seen) == 5, "two untimed passes and three timed ones"
    assert {(tuple(given["input_ids"].shape), bool(given["attention_mask"].all())) for given in seen} == {((5, 12), True)}
    assert model.training, "the model is left in the mode in which it came"


def test_samples_per_second_are_those_of_the_timed_passes() -> None:
    found = batch_latency(encoder(), batch_size=4, tokens=3, repetitions=Repetitions(2), device="cpu", seed=0)
    assert found.samples_per_second == pytest.approx(4 * 1000 / found.batch_ms.p50), "the median of two is their mean"


def test_rows_hold_no_padding_end_once_and_are_the_same_for_the_same_seed() -> None:
    import torch

    rows = []
    for seed in (1, 1, 2):
        model = decoder()
        seen = watch(model)
        batch_latency(model, batch_size=30, tokens=40, repetitions=Repetitions(1), device="cpu", seed=seed)
        rows.append(seen[0]["input_ids"])
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    assert not (rows[0] == PAD).any()
    assert ((rows[0] == EOS).sum(dim=1) == 1).all()
    assert (rows[0][:, -1] == EOS).all()
