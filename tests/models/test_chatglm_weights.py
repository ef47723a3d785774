"""A ChatGLM3 checkpoint on transformers' GLM class: the same logits as its own code's, and a clear word where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
import transformers

from harness.errors import HarnessError, RequestError, Unsupported
from harness.micro import model_path
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.chatglm import native_values
from harness.models.facts import read_facts
from harness.models.families import FAMILIES
from harness.models.load import load_facts, load_model, load_tokenizer
from harness.models.sizes import count_parameters, model_bytes
from harness.models.skeletons import anatomies
from harness.models.source import SHAPES
from harness.quantization.base import SCHEMES, Scheme
from harness.tasks.base import Head
from tests.models.chatglm_reference import CONFIG, logits, random_weights, write_checkpoint

GENERATE = Head("causal-lm")
WEIGHTS = random_weights()
FIRST_LAYER = "transformer.encoder.layers.0."


def scheme(name: str) -> Scheme:
    return SCHEMES.get(name)(scheme=name)


def load(folder: Path, cache: Path, scheme_name: str = "none", **fields: Any) -> Any:
    return load_model(ModelConfig(source=f"path:{folder}", **fields), GENERATE, scheme(scheme_name), "cpu", cache)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "chatglm3", WEIGHTS)
    return tmp_path / "chatglm3"


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three sequences, padded on the left as ChatGLM3's tokenizer does it: tokens, mask, positions."""
    mask = torch.ones(3, 20, dtype=torch.long)
    mask[1, :7], mask[2, :15] = 0, 0
    tokens = torch.randint(1, CONFIG["padded_vocab_size"], mask.shape, generator=torch.Generator().manual_seed(1)) * mask
    return tokens, mask, (mask.cumsum(-1) - 1).clamp(min=0)


@pytest.mark.parametrize(
    ("attention", "dtype", "tolerance"),
    [("sdpa", torch.float64, 1e-5), ("sdpa", torch.float32, 5e-5), ("eager", torch.float32, 5e-5)],  # float32 rounds logits of up to 7
)
def test_logits_are_those_of_chatglm3s_own_code(checkpoint: Path, tmp_path: Path, attention: str, dtype: torch.dtype, tolerance: float) -> None:
    tokens, mask, positions = batch()
    model = load(checkpoint, tmp_path / "cache", attn_implementation=attention).to(dtype)
    expected = logits(WEIGHTS, tokens, mask, positions)
    with torch.inference_mode():
        native = model(input_ids=tokens, attention_mask=mask, position_ids=positions).logits.double()
        unpadded = model(input_ids=tokens[:1]).logits.double()
    assert type(model).__name__ == "GlmForCausalLM"
    assert expected[mask.bool()].abs().mean() > 0.1
    torch.testing.assert_close(native[mask.bool()], expected[mask.bool()], rtol=0, atol=tolerance)
    torch.testing.assert_close(unpadded, expected[:1], rtol=0, atol=tolerance)


def test_it_writes_what_its_own_code_would_write(checkpoint: Path, tmp_path: Path) -> None:
    """With its cache of keys and values, and the positions that transformers counts from the mask itself."""
    tokens, mask, positions = batch()
    model = load(checkpoint, tmp_path / "cache")
    written = model.generate(input_ids=tokens, attention_mask=mask, max_new_tokens=4, min_new_tokens=4, do_sample=False, eos_token_id=None)
    for _ in range(4):
        best = logits(WEIGHTS, tokens, mask, positions)[:, -1:].argmax(-1)
        tokens, mask = torch.cat([tokens, best], 1), torch.cat([mask, torch.ones_like(best)], 1)
        positions = torch.cat([positions, positions[:, -1:] + 1], 1)
    assert torch.equal(written, tokens)


def test_every_weight_is_the_checkpoints_own_whichever_form_it_is_stored_in(checkpoint: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "pickled", WEIGHTS, pickled=True)
    with pytest.raises(RequestError, match="allow_pickle"):
        load(tmp_path / "pickled", tmp_path / "cache")
    one, other = load(checkpoint, tmp_path / "cache"), load(tmp_path / "pickled", tmp_path / "cache", allow_pickle=True)
    assert all(torch.equal(left, right) for left, right in zip(one.parameters(), other.parameters(), strict=True))
    stored = {name: tensor for name, tensor in WEIGHTS.items() if "inv_freq" not in name}
    assert count_parameters(one).total == sum(tensor.numel() for tensor in stored.values())
    attention = one.model.layers[0].self_attn
    fused = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    assert torch.equal(fused, WEIGHTS[FIRST_LAYER + "self_attention.query_key_value.weight"])


def test_the_published_configuration_is_the_shape_that_is_shipped() -> None:
    sizes = {"hidden_size": 4096, "ffn_hidden_size": 13696, "kv_channels": 128, "num_attention_heads": 32, "num_layers": 28, "padded_vocab_size": 65024, "seq_length": 8192}
    native = native_values(CONFIG | sizes, "chatglm3-6b")
    shape = json.loads((SHAPES / "chatglm3-6b.json").read_text())
    assert native["rope_parameters"] == {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": shape.pop("partial_rotary_factor")}
    assert {name: native[name] for name in shape} == shape


def test_rank_4_on_three_projections_is_not_rank_4_on_the_fused_one() -> None:
    """The published 974,848 come from one pair of matrices a layer; three pairs of the same rank are more, and another method."""
    shape = json.loads((SHAPES / "chatglm3-6b.json").read_text())
    kind = shape.pop("model_type")
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **shape))
        tuned = peft.LoraModel(model, peft.LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj"]), "default")
    assert sum(parameter.numel() for parameter in tuned.parameters() if parameter.requires_grad) == 1_892_352


def test_it_is_rewritten_once_until_it_changes(checkpoint: Path, tmp_path: Path) -> None:
    load(checkpoint, tmp_path / "cache")
    (entry,) = (path for path in (tmp_path / "cache" / "chatglm").iterdir() if path.is_dir())
    stamp = entry.stat().st_mtime_ns
    load(checkpoint, tmp_path / "cache")
    assert entry.stat().st_mtime_ns == stamp
    write_checkpoint(checkpoint, WEIGHTS | {"transformer.output_layer.weight": torch.zeros_like(WEIGHTS["transformer.output_layer.weight"])})
    assert not load(checkpoint, tmp_path / "cache").lm_head.weight.any()


def test_a_rewriting_that_is_interrupted_leaves_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = safetensors.torch.save_file, []

    def dies_at_the_second(*arguments: Any, **named: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(real(*arguments, **named))

    monkeypatch.setattr(safetensors.torch, "save_file", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        load(checkpoint, tmp_path / "cache")
    assert written
    assert not [path for path in (tmp_path / "cache" / "chatglm").iterdir() if path.is_dir()]
    monkeypatch.undo()
    load(checkpoint, tmp_path / "cache")


def test_what_a_killed_process_has_left_is_removed(checkpoint: Path, tmp_path: Path) -> None:
    load(checkpoint, tmp_path / "cache")
    (entry,) = (path for path in (tmp_path / "cache" / "chatglm").iterdir() if path.is_dir())
    entry.rename(entry.with_name(f".{entry.name}.4711"))
    load(checkpoint, tmp_path / "cache")
    assert [path for path in entry.parent.iterdir() if path.is_dir()] == [entry]


def test_weights_that_are_missing_or_too_many_are_named(tmp_path: Path) -> None:
    lacking = {name: tensor for name, tensor in WEIGHTS.items() if name != FIRST_LAYER + "mlp.dense_4h_to_h.weight"}
    write_checkpoint(tmp_path / "wrong", lacking | {"transformer.encoder.layers.0.mlp.dense_4h_to_h.weight_scale": torch.ones(4)})
    with pytest.raises(HarnessError, match=r"unexpected: .*layers\.0\.mlp\.dense_4h_to_h\.weight_scale; missing .*model\.layers\.0\.mlp\.down_proj\.weight$"):
        load(tmp_path / "wrong", tmp_path / "cache")
    write_checkpoint(tmp_path / "deeper", WEIGHTS, num_layers=2)
    with pytest.raises(HarnessError, match=r"unexpected: transformer\.encoder\.layers\.2\..* and 2 more; missing \(in GLM names\): none"):
        load(tmp_path / "deeper", tmp_path / "cache")
    write_checkpoint(tmp_path / "groups", WEIGHTS, multi_query_group_num=1)
    with pytest.raises(HarnessError, match=r"query_key_value\.(weight|bias) has 240 rows; 6 heads and 2 x 1 groups of 24 make 192"):
        load(tmp_path / "groups", tmp_path / "cache")
    write_checkpoint(tmp_path / "words", WEIGHTS, padded_vocab_size=512)
    with pytest.raises(HarnessError, match=r"word_embeddings\.weight is of shape \(640, 64\), its config\.json makes it \(512, 64\)"):
        load(tmp_path / "words", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "chatglm").iterdir() if path.is_dir()]


def test_damaged_shards_and_absent_ones_are_named(checkpoint: Path, tmp_path: Path) -> None:
    second = checkpoint / "model-00002-of-00002.safetensors"
    second.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!")
    with pytest.raises(HarnessError, match=r"cannot read model-00002-of-00002\.safetensors"):
        load(checkpoint, tmp_path / "cache")
    second.unlink()
    with pytest.raises(HarnessError, match=r"lacks model-00002-of-00002\.safetensors, which model\.safetensors\.index\.json names"):
        load(checkpoint, tmp_path / "cache")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"position_encoding_2d": True, "inner_hidden_size": 256}, "a ChatGLM-6B of the first version"),
        ({"pre_seq_len": 128}, r"a prefix encoder \(pre_seq_len: 128\)"),
        ({"quantization_bit": 4}, r"weights of 4 bits in a form of its own \(quantization_bit\)"),
        ({"rope_ratio": 50}, "rope_ratio: 50.*zai-org/glm-4-9b-hf"),
        ({"multi_query_attention": ...}, "multi_query_attention: False; .* for True only"),
        ({"add_bias_linear": True}, "add_bias_linear: True"),
        ({"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm: True"),
        ({"attention_dropout": 0.1}, "attention_dropout: 0.1"),
        ({"kv_channels": ..., "seq_length": ...}, "does not say its kv_channels, seq_length"),
        ({"vocab_size": 600}, "vocab_size 600 and padded_vocab_size 640"),
        ({"sandwich_norm": True, "alibi": True}, "has alibi, sandwich_norm, which the published code"),
    ],
)
def test_the_plan_refuses_what_glm_would_compute_otherwise(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    write_checkpoint(tmp_path, {"transformer.output_layer.weight": torch.ones(2), "transformer.rotary_pos_emb.inv_freq": torch.ones(2)}, **changed)
    with pytest.raises(RequestError, match=message):
        read_facts(ModelConfig(source=f"path:{tmp_path}"))


def test_the_plan_sizes_the_model_that_is_loaded(checkpoint: Path, tmp_path: Path) -> None:
    config = ModelConfig(source=f"path:{checkpoint}", trust_remote_code=True)
    (anatomy,) = anatomies([(config, GENERATE)], tmp_path / "cache")
    assert isinstance(anatomy, Anatomy)
    assert anatomy.total == sum(tensor.numel() for name, tensor in WEIGHTS.items() if "inv_freq" not in name)
    facts = read_facts(config)
    assert facts == load_facts(config, tmp_path / "cache")
    assert facts is not None
    assert (facts.model_type, facts.kind, facts.context, facts.layers, facts.vocabulary) == ("glm", "decoder", 128, 3, 640)


def test_it_is_quantized_while_loading_and_lora_attaches(checkpoint: Path, tmp_path: Path) -> None:
    plain, model = load(checkpoint, tmp_path / "cache"), load(checkpoint, tmp_path / "cache", "bnb-nf4")
    assert type(model.model.layers[2].mlp.gate_up_proj).__name__ == "Linear4bit"
    assert model_bytes(model) < 0.6 * model_bytes(plain)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj"]))
    query, group, width = 6 * 24, 2 * 24, 64
    assert tuned.get_nb_trainable_parameters()[0] == 3 * 4 * (3 * width + query + 2 * group)  # three pairs a layer, not one
    assert set(FAMILIES["glm"].lora_targets) == {"q_proj", "v_proj"}
    tokens, mask, _ = batch()
    tuned(input_ids=tokens, attention_mask=mask, labels=tokens).loss.backward()
    assert all(parameter.grad is not None for parameter in tuned.parameters() if parameter.requires_grad)


def test_a_tokenizer_that_is_code_is_refused_with_its_versions(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "tokenizer.model").write_bytes(b"sentencepiece")
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ChatGLMTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLMTokenizer", None]}}))
    config = ModelConfig(source=f"path:{checkpoint}")
    with pytest.raises(Unsupported, match=r"no tokenizer\.json: .*transformers 4\.30 .* from 4\.45 on.* or set trust_remote_code"):
        load_tokenizer(config, tmp_path / "cache")
    code = "from transformers import PreTrainedTokenizer\nclass ChatGLMTokenizer(PreTrainedTokenizer):\n    def __init__(self, **named):\n        raise AttributeError('no setter')\n"
    (checkpoint / "tokenization_chatglm.py").write_text(code)
    (checkpoint / "configuration_chatglm.py").write_text("from transformers import PretrainedConfig\nclass ChatGLMConfig(PretrainedConfig):\n    model_type = 'chatglm'\n")
    with pytest.raises(Unsupported, match="Here it fails with AttributeError: no setter"):
        load_tokenizer(config.model_copy(update={"trust_remote_code": True}), tmp_path / "cache")


def test_a_tokenizer_json_beside_the_weights_is_used(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "tokenizer.json").write_bytes((model_path("decoder") / "tokenizer.json").read_bytes())
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ChatGLMTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_chatglm.ChatGLMTokenizer", None]}, "padding_side": "left"}))
    tokenizer = load_tokenizer(ModelConfig(source=f"path:{checkpoint}"), tmp_path / "cache")
    own = load_tokenizer(ModelConfig(source="micro:decoder"), tmp_path / "cache")
    assert tokenizer("the film was good").input_ids == own("the film was good").input_ids
    assert tokenizer.padding_side == "left"
