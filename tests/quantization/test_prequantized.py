"""Checkpoints that are quantized already: loaded as they are, by the library that they name."""

from __future__ import annotations

from pathlib import Path

import torch
from jobs import LANGUAGE, model_config, scheme
from packed_models import loaded, logits, quantized, tiny

from harness.micro import model_path
from harness.models.facts import read_facts
from harness.models.load import load_model
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from harness.quantization.prequantized import STORED


def prequantized(folder: Path, tunes: bool = True) -> torch.nn.Module:
    of = scheme("prequantized").loaded_for("cpu", tunes)
    return load_model(model_config(folder), LANGUAGE["decoder"], of, "cpu", Path())


def test_a_gptq_checkpoint_answers_as_under_the_scheme_that_wrote_it(tmp_path: Path) -> None:
    of = scheme("rtn-4bit", group_size=32)
    entry = quantized(of, tiny("llama", tmp_path / "source"), tmp_path / "entry").folder
    facts = read_facts(model_config(entry))
    assert scheme("prequantized").unsupported(facts) is None
    model = prequantized(entry)
    assert torch.equal(logits(model), logits(loaded(of, entry)))
    layers = list(scheme("prequantized").quantized_layers(model))
    assert layers == list(of.quantized_layers(model))
    assert {layer.kernel for layer in layers} == {"TorchLinear"}
    embedded = model.get_input_embeddings()(torch.arange(5, 20)[None]).detach().requires_grad_()  # type: ignore[operator]
    model(inputs_embeds=embedded).logits.sum().backward()
    assert embedded.grad is not None
    plain = scheme("prequantized").dequantized(model)  # type: ignore[arg-type]
    assert list(scheme("prequantized").quantized_layers(plain)) == []


def test_a_bitsandbytes_checkpoint_keeps_its_data_type(tmp_path: Path) -> None:
    nf4 = load_model(model_config(model_path("decoder")), LANGUAGE["decoder"], scheme("bnb-nf4"), "cpu", Path())
    nf4.save_pretrained(tmp_path)
    model = prequantized(tmp_path)
    assert torch.equal(logits(model), logits(nf4))
    found = list(scheme("prequantized").quantized_layers(model))
    assert found == list(scheme("bnb-nf4").quantized_layers(nf4))
    assert {layer.kernel for layer in found} == {"Linear4bit"}


def test_checkpoints_that_are_not_quantized_or_in_an_unknown_way_are_refused() -> None:
    of = scheme("prequantized")
    assert of.unsupported(None) is None
    assert "not quantized" in str(of.unsupported(ModelFacts("llama", "decoder")))
    assert "'mxfp4'; known: awq, bitsandbytes" in str(of.unsupported(ModelFacts("gpt_oss", "decoder", prequantized="mxfp4")))


def test_every_known_checkpoint_has_a_scheme_of_the_same_library() -> None:
    for stored in STORED.values():
        assert set(stored.packages) >= set(SCHEMES.get(stored.scheme)(scheme=stored.scheme).needs.packages)
