"""UniPELT and mix-and-match adapters: every family that they serve, their gates, and one knob for all parts."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.tuners.attention import Prefix, _attend
from harness.methods.tuners.gates import Gate, Padding
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import failed, method, trial

SERVED = ("bert", "roberta", "gpt2", "opt", "llama", "glm", "t5", "bart")
SMALL = {"prefix_length": 4, "prefix_hidden": 16, "bottleneck": 8}
UNIPELT = method("unipelt", **SMALL, r=2)
MAM = method("mam", **SMALL)
PLAIN = SCHEMES.get("none")(scheme="none")


@pytest.mark.parametrize("of", [UNIPELT, MAM], ids=lambda of: of.method)
@pytest.mark.parametrize("family", SERVED)
def test_it_passes_every_check(of, family: str, tmp_path: Path) -> None:
    assert failed(trial(of, family, tmp_path).run()) == []


@pytest.mark.parametrize("of", [UNIPELT, MAM], ids=lambda of: of.method)
@pytest.mark.parametrize(("family", "scheme"), [("bert", "bnb-int8"), ("llama", "bnb-nf4")])
def test_it_sits_on_quantized_weights(of, family: str, scheme: str, tmp_path: Path) -> None:
    assert failed(trial(of, family, tmp_path, scheme=scheme).run()) == []


@pytest.mark.parametrize(("family", "fields"), [("gpt2", {"form": "ap"}), ("roberta", {"gates": False}), ("opt", {"prefix_hidden": None})])
def test_every_form_of_unipelt_passes_every_check(family: str, fields: dict[str, object], tmp_path: Path) -> None:
    assert failed(trial(method("unipelt", **(SMALL | fields)), family, tmp_path).run()) == []


def test_the_parts_are_those_of_the_form(tmp_path: Path) -> None:
    def parts(**fields: object) -> set[str]:
        tried = trial(method("unipelt", **SMALL, **fields), "bert", tmp_path)
        model = tried.method.attach(tried.load(), tried.attachment)
        kinds = ("pelt_adapter", "pelt_prefix", "pelt_low_rank", "pelt_gate")
        return {kind for kind in kinds for name, parameter in model.named_parameters() if kind in name and parameter.requires_grad}

    assert parts() == {"pelt_adapter", "pelt_prefix", "pelt_low_rank", "pelt_gate"}
    assert parts(form="ap") == {"pelt_adapter", "pelt_prefix", "pelt_gate"}
    assert parts(gates=False) == {"pelt_adapter", "pelt_prefix", "pelt_low_rank"}


def test_unipelts_count_is_its_parts_and_a_gate_for_each(tmp_path: Path) -> None:
    anatomy = trial(UNIPELT, "bert", tmp_path).attachment.anatomy
    adapters = method("pfeiffer", bottleneck=8).count(anatomy)
    prefixes = method("prefix-tuning", prefix_length=4, prefix_hidden=16).count(anatomy)
    low_rank = anatomy.layers * 2 * 2 * (64 + 64)
    gates = anatomy.layers * (1 + 1 + 2) * (64 + 1)
    assert UNIPELT.count(anatomy) == adapters + prefixes + low_rank + gates


def test_a_gate_is_the_mean_over_real_tokens() -> None:
    hidden = torch.randn(2, 5, 8, dtype=torch.float64)
    attention = torch.nn.Module()
    attention.forward = lambda hidden_states, attention_mask=None: hidden_states  # type: ignore[method-assign]
    padding = Padding(attention)
    gate = Gate(8, padding).double()
    seen = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None, :].expand(2, 1, 5, 5)
    expected = torch.stack([torch.sigmoid(gate.linear(row)).mean() for row in (hidden[0], hidden[1, :3])])
    for mask in (seen, torch.zeros(2, 1, 5, 5).masked_fill(~seen, torch.finfo(torch.float32).min)):
        attention(hidden, mask)
        torch.testing.assert_close(gate(hidden).flatten(), expected)
        attention(hidden, attention_mask=mask)
        torch.testing.assert_close(gate(hidden).flatten(), expected)
    attention(hidden)
    torch.testing.assert_close(gate(hidden), torch.sigmoid(gate.linear(hidden)).mean(dim=1, keepdim=True))


def test_a_gate_by_token_multiplies_the_prefixs_scores_and_values() -> None:
    from transformers.models.llama.modeling_llama import eager_attention_forward

    make = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, generator=make)
    key, value = torch.randn(2, 2, 2, 5, 8, generator=make)
    keys, values = torch.randn(2, 1, 2, 3, 8, generator=make)
    gate = torch.rand(2, 5, 1, generator=make)
    mask = torch.zeros(1, 1, 5, 5).masked_fill(~torch.ones(5, 5).tril().bool(), float("-inf"))
    module = SimpleNamespace(num_key_value_groups=2, training=False)
    output, _ = _attend(eager_attention_forward, Prefix(keys, values, gate), module, query, key, value, mask, scaling=0.3)
    keys, values, key, value = (states.expand(2, -1, -1, -1).repeat_interleave(2, dim=1) for states in (keys, values, key, value))
    scores = torch.cat([gate[:, None] * (query @ keys.mT), query @ key.mT + mask / 0.3], dim=-1) * 0.3
    weights = scores.softmax(dim=-1)
    expected = gate[:, None] * (weights[..., :3] @ values) + weights[..., 3:] @ value
    torch.testing.assert_close(output, expected.transpose(1, 2))


def test_recomputed_layers_see_the_mask_of_their_own_pass(tmp_path: Path) -> None:
    """Two passes with other padding, then one backward, activations recomputed."""
    gradients = []
    for checkpointing in (False, True):
        tried = trial(UNIPELT, "bert", tmp_path)
        torch.manual_seed(0)
        model = tried.method.attach(tried.load(), tried.attachment).train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        inputs = tried.batch
        whole = inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"])}
        (model(**inputs).loss + model(**whole).loss).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_a_copy_of_a_tuned_model_is_a_model_of_its_own(tmp_path: Path) -> None:
    tried = trial(UNIPELT, "bert", tmp_path)
    model = tried.method.attach(tried.load(), tried.attachment)
    copied = copy.deepcopy(model)
    before = tried.logits(model)
    torch.testing.assert_close(tried.logits(copied), before, rtol=0, atol=0)
    for parameter in copied.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(tried.logits(model), before, rtol=0, atol=0)


def test_what_is_unloaded_is_the_base_again(tmp_path: Path) -> None:
    tried = trial(UNIPELT, "gpt2", tmp_path)
    base = tried.load()
    expected = tried.logits(base)
    unloaded = UNIPELT.attach(base, tried.attachment).unload()
    assert [name for name, _ in unloaded.named_parameters()] == [name for name, _ in tried.load().named_parameters()]
    assert torch.equal(tried.logits(unloaded), expected)


@pytest.mark.parametrize("name", ["unipelt", "mam"])
def test_one_knob_sizes_all_parts(name: str, tmp_path: Path) -> None:
    anatomy = trial(UNIPELT, "roberta", tmp_path).attachment.anatomy
    solved, chosen = method(name, budget={"trainable_parameters": 6000}).solved(anatomy)
    assert chosen is not None
    assert chosen.knob == "bottleneck"
    assert solved.count(anatomy) == pytest.approx(6000, rel=0.25)
    defaults = type(solved).model_fields
    assert solved.prefix_hidden == round(solved.bottleneck * 512 / defaults["bottleneck"].default)
    if name == "unipelt":
        assert solved.lora_alpha / solved.r == 2


def test_a_size_that_is_given_does_not_follow_the_knob(tmp_path: Path) -> None:
    anatomy = trial(UNIPELT, "roberta", tmp_path).attachment.anatomy
    solved, _ = method("unipelt", budget={"trainable_parameters": 12000}, r=8, prefix_hidden=3).solved(anatomy)
    assert (solved.r, solved.lora_alpha, solved.prefix_hidden) == (8, 16, 3)


def test_the_plan_refuses_what_cannot_work() -> None:
    bert = ModelFacts("bert", "encoder", context=512, hidden_size=128)
    assert "transformers' attention interface" in str(UNIPELT.unsupported(ModelFacts("bloom", "decoder"), PLAIN))
    assert "bottleneck 512 is larger" in str(method("mam").unsupported(bert, PLAIN))
    assert "longer than the model's context" in str(method("mam", bottleneck=8, prefix_length=600).unsupported(bert, PLAIN))
    assert UNIPELT.unsupported(bert, PLAIN) is None


def test_what_is_combined_cannot_be_merged(tmp_path: Path) -> None:
    tried = trial(UNIPELT, "bert", tmp_path)
    with pytest.raises(Unsupported, match="cannot be merged"):
        UNIPELT.merged(UNIPELT.attach(tried.load(), tried.attachment))
