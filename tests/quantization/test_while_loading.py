"""What every scheme that quantizes while loading has to get right, whatever its library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layers import CLASSIFY, HEADS, loaded, logits, relative, scheme, tiny, without
from pydantic import ValidationError

from harness.errors import Unsupported
from harness.models.dissect import anatomy_of
from harness.models.load import head_modules
from harness.models.sizes import count_parameters
from harness.quantization.while_loading import WhileLoading

SCHEMES = [
    ("bnb-int8", {}), ("bnb-nf4-dq", {}), ("hqq-4bit", {}), ("hqq-3bit", {"axis": 0}), ("torchao-int8", {}),
    ("torchao-int4", {"group_size": 32}), ("quanto-int8", {}), ("quanto-int4", {}),
]  # fmt: skip
COMPILED = ("quanto-int4",)  # by the library at its first use: 80 s on a machine that it has not seen
EACH = pytest.mark.parametrize(
    ("name", "fields"),
    [pytest.param(name, fields, id=name, marks=pytest.mark.slow if name in COMPILED else ()) for name, fields in SCHEMES],
)
ROUNDING = 1e-4  # of the same products in another order
INT8_ACTIVATIONS = 0.04  # LLM.int8 rounds activations, ordinary layers do not


@EACH
@pytest.mark.parametrize("kind", HEADS)
def test_a_model_is_stored_as_it_was_every_time_and_stands_for_the_weights_it_gives_back(name: str, fields: dict[str, object], kind: str) -> None:
    of = scheme(name, **fields)
    plain, model = loaded(scheme("none"), kind), loaded(of, kind)
    assert count_parameters(model).total == count_parameters(plain).total
    head = head_modules(plain) if HEADS[kind] is CLASSIFY else []
    assert anatomy_of(model, head) == anatomy_of(plain, head)
    found = logits(model)
    assert torch.equal(found, logits(loaded(of, kind)))
    with torch.inference_mode():  # as cells evaluate; a tensor of a library's own may not be fit for it
        assert torch.equal(found, logits(model))
    assert 0 < relative(found, logits(plain)) < 0.4
    ordinary = of.dequantized(model)
    assert not list(of.quantized_layers(ordinary))
    assert {type(module) for module in ordinary.modules()} == {type(module) for module in plain.modules()}
    assert relative(logits(ordinary), found) < (INT8_ACTIVATIONS if of.rounds_activations else ROUNDING)


@EACH
def test_gradients_reach_what_is_tuned_below(name: str, fields: dict[str, object]) -> None:
    """The embeddings' gradient is that of the ordinary layers which the quantized ones stand for."""
    gradients = []
    of = scheme(name, **fields)
    for model in (loaded(of, "decoder"), of.dequantized(loaded(of, "decoder"))):
        assert isinstance(of, WhileLoading)
        assert not any(parameter.requires_grad for layer in model.modules() if of.is_quantized_layer(layer) for parameter in layer.parameters())
        embeddings = model.get_input_embeddings().weight.requires_grad_(True)
        tokens = torch.arange(10, 34)[None]
        model(input_ids=tokens, labels=tokens).loss.backward()
        gradients.append(embeddings.grad)
    assert relative(gradients[0], gradients[1]) < (5 * INT8_ACTIVATIONS if of.rounds_activations else ROUNDING)


@EACH
def test_weights_that_a_checkpoint_lacks_are_drawn_and_quantized(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    """BERT's pooler, from a checkpoint that only the language model was saved of."""
    folder, of = without("pooler", tmp_path), scheme(name, **fields)
    plain, model = loaded(scheme("none"), folder, CLASSIFY), loaded(of, folder, CLASSIFY)
    assert isinstance(of, WhileLoading)
    assert "bert.pooler.dense" in {layer.name for layer in of.quantized_layers(model)}
    assert torch.equal(model.classifier.weight, plain.classifier.weight)
    assert relative(of.values(model.bert.pooler.dense).float(), plain.bert.pooler.dense.weight) < 0.3
    assert logits(model).isfinite().all()


@EACH
def test_gpt2_keeps_the_layout_of_its_checkpoints(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    """Its matrices lie the other way round, and square ones would be read transposed without an error."""
    of, folder = scheme(name, **fields), tiny("gpt2")
    model = loaded(of, folder, HEADS["decoder"])
    ordinary = of.dequantized(model)
    ordinary.save_pretrained(tmp_path)
    assert torch.equal(logits(loaded(scheme("none"), tmp_path, HEADS["decoder"])), logits(ordinary))


@EACH
def test_modules_are_skipped_by_name(name: str, fields: dict[str, object]) -> None:
    of = scheme(name, **fields, skip_modules=["lm_head", "o_proj", r"model\.layers\.0"])
    names = {layer.name for layer in of.quantized_layers(loaded(of, "decoder"))}
    assert "model.layers.1.self_attn.q_proj" in names
    assert not [layer for layer in names if layer == "lm_head" or layer.endswith("o_proj") or ".layers.0." in layer]


def test_the_output_embeddings_are_quantized_only_where_that_is_asked_for() -> None:
    for fields, expected in (({}, False), ({"skip_modules": []}, True)):
        of = scheme("quanto-int8", **fields)
        assert ("lm_head" in {layer.name for layer in of.quantized_layers(loaded(of, "decoder"))}) is expected


def test_what_is_no_name_of_a_module_is_refused() -> None:
    with pytest.raises(ValidationError, match="no regular expression"):
        scheme("quanto-int8", skip_modules=["layers.["])


@pytest.mark.parametrize(("name", "fields"), [("hqq-4bit", {"group_size": 48}), ("torchao-int8", {"group_size": 48}), ("torchao-int4", {"group_size": 128})])
def test_a_group_that_divides_no_row_is_refused_by_the_plan_and_while_loading(name: str, fields: dict[str, object]) -> None:
    of, folder = scheme(name, **fields), tiny("llama")
    reason = of.unfit(anatomy_of(loaded(scheme("none"), folder, HEADS["decoder"]), []))
    assert reason is not None
    assert "model.layers.0.self_attn.q_proj" in reason
    assert "does not divide its rows of 64 weights" in reason
    with pytest.raises(Unsupported, match="does not divide its rows of 64 weights"):
        loaded(of, folder, HEADS["decoder"])
