"""Generation through what methods wrap a model in: the same texts in any batch, and those of the tuned model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from tiny_models import VOCABULARY, decoder_config, encoder_decoder_config

from harness.methods.base import METHODS, Attachment
from harness.models.dissect import anatomy_of
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from harness.tasks.base import TaskContext
from harness.tasks.generation.generate import Decoding, generated

METHOD_FIELDS: dict[str, dict[str, Any]] = {"lora": {"r": 2}, "prompt-tuning": {"num_virtual_tokens": 4}, "prefix-tuning": {"prefix_length": 4}}


@cache
def base(kind: str) -> Any:
    from transformers import LlamaForCausalLM, T5ForConditionalGeneration

    torch.manual_seed(0)
    return LlamaForCausalLM(decoder_config()) if kind == "decoder" else T5ForConditionalGeneration(encoder_decoder_config())


def tuned(name: str, kind: str, tokenizer: Any) -> Any:
    """The model with a method on it whose weights are far from where they begin, so that it writes other texts."""
    model = copy.deepcopy(base(kind))
    method = METHODS.get(name).model_validate({"method": name, **METHOD_FIELDS[name]})
    head = "causal-lm" if kind == "decoder" else "seq2seq-lm"
    facts = ModelFacts(model.config.model_type, kind, context=256, hidden_size=32, layers=2, vocabulary=VOCABULARY)
    attachment = Attachment(facts, anatomy_of(model, []), SCHEMES.get("none")(scheme="none"), head, 10, False, 0, [], tokenizer)
    wrapped = method.attach(model, attachment)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    return wrapped.eval()


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
@pytest.mark.parametrize("name", METHOD_FIELDS)
def test_a_tuned_model_writes_the_same_texts_in_any_batch_and_others_than_its_base(
    name: str, kind: str, decoder_tokenizer: Any, encoder_decoder_tokenizer: Any, context_of: Callable[..., TaskContext]
) -> None:
    tokenizer = (decoder_tokenizer if kind == "decoder" else encoder_decoder_tokenizer)()
    model = tuned(name, kind, tokenizer)
    draw = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, VOCABULARY, (1 + 5 * number % 12,), generator=draw).tolist() for number in range(6)]
    decoding = Decoding(6, num_beams=2, no_repeat_ngram_size=2)
    texts = [generated(model, prompts, context_of(tokenizer, kind, batch=batch), decoding) for batch in (1, 8)]
    assert texts[0] == texts[1]
    assert texts[0] != generated(base(kind).eval(), prompts, context_of(tokenizer, kind), decoding)
