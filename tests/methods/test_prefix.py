"""Prefixes at the attention itself: every family that they serve, and what must not depend on padding, caches or kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.errors import Unsupported
from harness.methods.base import Method
from harness.methods.prefix import attentions
from harness.models.anatomy import Anatomy
from harness.models.families import FAMILIES
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import CLASSIFY, failed, method, trial

SERVED = ("bert", "roberta", "gpt2", "opt", "llama", "glm", "t5", "bart")
PREFIX_TUNING = method("prefix-tuning", prefix_length=4, prefix_hidden=16)
UNIPELT = method("unipelt", prefix_length=4, prefix_hidden=16, bottleneck=8, r=2)
BOTH = pytest.mark.parametrize("of", [PREFIX_TUNING, UNIPELT], ids=lambda of: of.method)
PLAIN = SCHEMES.get("none")(scheme="none")


def attached(of: Method, family: str, folder: Path, attention: str = "sdpa") -> Any:
    """The method on the tiny model, every part of it far from its first values, so that each has its say.

    In double precision: what differs then differs by more than rounding.
    """
    tried = trial(of, family, folder)
    base = tried.load()
    base.set_attn_implementation(attention)
    model = of.attach(base, tried.attachment).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.double()


def text(rows: int, length: int) -> torch.Tensor:
    return torch.randint(5, 1500, (rows, length), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def logits(model: Any, ids: torch.Tensor, mask: torch.Tensor | None = None, **inputs: Any) -> torch.Tensor:
    return model(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask, **inputs).logits


def padded(ids: torch.Tensor, by: int, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The same rows and their mask, longer by padding."""
    sides = (by, 0) if left else (0, by)
    return torch.nn.functional.pad(ids, sides), torch.nn.functional.pad(torch.ones_like(ids), sides)


@pytest.mark.parametrize("family", SERVED)
def test_prefix_tuning_passes_every_check(family: str, tmp_path: Path) -> None:
    assert failed(trial(PREFIX_TUNING, family, tmp_path).run()) == []


@pytest.mark.parametrize("family", ["roberta", "llama", "bart"])
def test_p_tuning_v2_passes_every_check(family: str, tmp_path: Path) -> None:
    assert failed(trial(method("p-tuning-v2", prefix_length=4), family, tmp_path).run()) == []


@pytest.mark.parametrize(("family", "scheme"), [("bert", "bnb-int8"), ("llama", "bnb-nf4")])
def test_prefixes_sit_on_quantized_weights(family: str, scheme: str, tmp_path: Path) -> None:
    assert failed(trial(PREFIX_TUNING, family, tmp_path, scheme=scheme).run()) == []


def test_p_tuning_v2_trains_on_a_decoder_with_a_new_head(tmp_path: Path) -> None:
    assert failed(trial(method("p-tuning-v2", prefix_length=4), "gpt2", tmp_path, head=CLASSIFY).run()) == []


@BOTH
@pytest.mark.parametrize("family", SERVED)
def test_the_eager_and_the_sdpa_attention_agree(of: Method, family: str, tmp_path: Path) -> None:
    ids, mask = padded(text(2, 9), 3, left=False)
    mask[0] = 1
    inputs = {"decoder_input_ids": text(2, 5)} if family in ("t5", "bart") else {}
    eager, sdpa = (logits(attached(of, family, tmp_path, attention), ids, mask, **inputs) for attention in ("eager", "sdpa"))
    torch.testing.assert_close(eager, sdpa, rtol=1e-4, atol=1e-4)


@BOTH
@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "glm"])
def test_padding_on_the_left_does_not_change_the_last_logits(of: Method, family: str, tmp_path: Path) -> None:
    model, ids = attached(of, family, tmp_path), text(2, 7)
    longer, mask = padded(ids, 4, left=True)
    positions = {} if family == "opt" else {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}  # OPT counts them itself
    torch.testing.assert_close(logits(model, longer, mask, **positions)[:, -1], logits(model, ids)[:, -1], rtol=1e-4, atol=1e-4)


@BOTH
@pytest.mark.parametrize("family", ["bert", "roberta", "t5", "bart"])
def test_padding_does_not_change_what_an_encoder_says(of: Method, family: str, tmp_path: Path) -> None:
    model, ids = attached(of, family, tmp_path), text(1, 7)
    longer, mask = padded(ids, 5, left=False)
    inputs = {"decoder_input_ids": text(1, 5)} if family in ("t5", "bart") else {}
    beside = torch.cat([longer, text(1, 12)]), torch.cat([mask, torch.ones(1, 12, dtype=mask.dtype)])
    together = logits(model, *beside, **{name: value.expand(2, -1) for name, value in inputs.items()})
    torch.testing.assert_close(together[:1], logits(model, ids, **inputs), rtol=1e-4, atol=1e-4)


@BOTH
@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "glm", "t5", "bart"])
def test_a_later_token_does_not_change_earlier_logits(of: Method, family: str, tmp_path: Path) -> None:
    model, ids = attached(of, family, tmp_path), text(1, 8)
    other = ids.clone()
    other[:, 5:] = text(1, 3) + 1
    if family in ("t5", "bart"):
        before, after = (logits(model, text(1, 6), decoder_input_ids=each) for each in (ids, other))
    else:
        before, after = logits(model, ids), logits(model, other)
    torch.testing.assert_close(before[:, :5], after[:, :5], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@BOTH
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])
def test_generation_with_a_cache_says_what_it_says_without(of: Method, family: str, tmp_path: Path) -> None:
    model = attached(of, family, tmp_path)
    prompt, mask = padded(text(1, 6), 3, left=True)
    same = [
        model.generate(input_ids=prompt, attention_mask=mask, max_new_tokens=6, min_new_tokens=6, do_sample=False, use_cache=cached)
        for cached in (True, False)
    ]
    assert torch.equal(*same)


def test_a_prefix_takes_no_position_and_no_place_in_the_cache(tmp_path: Path) -> None:
    model = attached(PREFIX_TUNING, "llama", tmp_path)
    cache = model(input_ids=text(1, 6), use_cache=True).past_key_values
    assert cache.get_seq_length() == 6
    assert PREFIX_TUNING.virtual_tokens == 0


def test_a_second_adapter_has_prefixes_of_its_own(tmp_path: Path) -> None:
    model, ids = attached(UNIPELT, "bert", tmp_path), text(2, 7)
    first = logits(model, ids)
    model.add_adapter("second", model.peft_config["default"])
    model.set_adapter("second")
    assert not torch.allclose(logits(model, ids), first)
    model.set_adapter("default")
    torch.testing.assert_close(logits(model, ids), first)


def test_the_models_own_configuration_stays_as_it_was(tmp_path: Path) -> None:
    assert attached(PREFIX_TUNING, "gpt2", tmp_path).config._attn_implementation == "sdpa"


def test_counts_follow_the_formula_of_the_papers(tmp_path: Path) -> None:
    llama, bart = (trial(PREFIX_TUNING, family, tmp_path).attachment.anatomy for family in ("llama", "bart"))
    kv = attentions(llama)[0].width
    assert kv < llama.hidden_size  # grouped queries: keys are narrower
    assert method("p-tuning-v2", prefix_length=20).count(llama) == 20 * llama.layers * 2 * kv
    assert PREFIX_TUNING.count(llama) == 4 * 64 + 64 * 16 + 16 + (16 + 1) * llama.layers * 2 * kv
    assert {place.group for place in attentions(bart)} == {"encoder", "decoder", "cross"}
    assert PREFIX_TUNING.count(bart) == 3 * (4 * 64 + 64 * 16 + 16) + (16 + 1) * 6 * 2 * 64


def test_the_plan_refuses_what_has_no_place_for_a_prefix() -> None:
    assert "transformers' attention interface" in str(PREFIX_TUNING.unsupported(ModelFacts("deberta-v2", "encoder"), PLAIN))
    assert "is not known" in str(PREFIX_TUNING.unsupported(ModelFacts("rwkv", "decoder"), PLAIN))
    short = ModelFacts("bert", "encoder", context=3)
    assert "longer than the model's context of 3" in str(PREFIX_TUNING.unsupported(short, PLAIN))
    assert PREFIX_TUNING.unsupported(ModelFacts("bert", "encoder", context=512), PLAIN) is None
    assert PREFIX_TUNING.unsupported(None, PLAIN) is None


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_table_of_families_knows_whose_attention_has_a_place(model_type: str) -> None:
    folder = model_type.replace("-", "_")
    source = Path(transformers.__file__).parent / "models" / folder / f"modeling_{folder}.py"
    assert ("ALL_ATTENTION_FUNCTIONS.get_interface(" in source.read_text(encoding="utf-8")) == FAMILIES[model_type].prefixes


def test_another_attention_implementation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="sdpa or eager, not flex_attention"):
        attached(PREFIX_TUNING, "llama", tmp_path, attention="flex_attention")


def test_a_model_without_known_attention_is_refused() -> None:
    with pytest.raises(Unsupported, match="not known of rwkv"):
        attentions(Anatomy("rwkv", "decoder", 64, 2, 0, 0, 0, None, ()))
