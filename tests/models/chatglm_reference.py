"""ChatGLM3's forward pass, written for the tests from its published code (modeling_chatglm.py, THUDM/chatglm3-6b), and a tiny checkpoint in its naming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

# The fields of THUDM/chatglm3-6b's config.json, its sizes made small.
CONFIG: dict[str, Any] = {
    "_name_or_path": "THUDM/chatglm3-6b", "model_type": "chatglm", "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig", "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    "add_bias_linear": False, "add_qkv_bias": True, "apply_query_key_layer_scaling": True, "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0, "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "ffn_hidden_size": 96, "fp32_residual_connection": False,
    "hidden_dropout": 0.0, "hidden_size": 64, "kv_channels": 24, "layernorm_epsilon": 1e-05, "multi_query_attention": True, "multi_query_group_num": 2,
    "num_attention_heads": 6, "num_layers": 3, "original_rope": True, "padded_vocab_size": 640, "post_layer_norm": True, "rmsnorm": True, "seq_length": 128,
    "use_cache": True, "torch_dtype": "float32", "transformers_version": "4.30.2", "tie_word_embeddings": False, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip

Weights = dict[str, torch.Tensor]


def random_weights() -> Weights:
    """Every tensor of the checkpoint, norms and biases too, so that none can be lost unnoticed."""
    drawn = torch.Generator().manual_seed(7)
    width, ffn, words = CONFIG["hidden_size"], CONFIG["ffn_hidden_size"], CONFIG["padded_vocab_size"]
    attention, fused = CONFIG["num_attention_heads"] * CONFIG["kv_channels"], (CONFIG["num_attention_heads"] + 2 * CONFIG["multi_query_group_num"]) * CONFIG["kv_channels"]

    def normal(*shape: int, around: float = 0.0) -> torch.Tensor:
        return around + torch.randn(shape, generator=drawn) * 0.2

    weights = {"transformer.embedding.word_embeddings.weight": normal(words, width), "transformer.rotary_pos_emb.inv_freq": normal(CONFIG["kv_channels"] // 4)}
    for at in range(CONFIG["num_layers"]):
        layer = f"transformer.encoder.layers.{at}."
        weights |= {
            layer + "input_layernorm.weight": normal(width, around=1.0), layer + "post_attention_layernorm.weight": normal(width, around=1.0),
            layer + "self_attention.query_key_value.weight": normal(fused, width), layer + "self_attention.query_key_value.bias": normal(fused),
            layer + "self_attention.dense.weight": normal(width, attention),
            layer + "mlp.dense_h_to_4h.weight": normal(2 * ffn, width), layer + "mlp.dense_4h_to_h.weight": normal(width, ffn),
        }  # fmt: skip
    return weights | {"transformer.encoder.final_layernorm.weight": normal(width, around=1.0), "transformer.output_layer.weight": normal(words, width)}


def write_checkpoint(folder: Path, weights: Weights, pickled: bool = False, **changed: Any) -> None:
    """The checkpoint in two shards, cut in the middle of a layer as the published one's are; a field changed to ... is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {name: value for name, value in (CONFIG | changed).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(values))
    names, kind = list(weights), "pytorch_model-{}.bin" if pickled else "model-{}.safetensors"
    places = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        tensors, file = {name: weights[name] for name in part}, kind.format(f"0000{number}-of-00002")
        torch.save(tensors, folder / file) if pickled else save_file(tensors, folder / file)
        places |= dict.fromkeys(part, file)
    index = "pytorch_model.bin.index.json" if pickled else "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def logits(weights: Weights, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """What ChatGLM3's code computes, in float64: (batch, length, vocabulary). mask: 1 for tokens, 0 for padding."""
    weights = {name.removeprefix("transformer."): tensor.double() for name, tensor in weights.items()}
    heads, groups, size = CONFIG["num_attention_heads"], CONFIG["multi_query_group_num"], CONFIG["kv_channels"]
    batch, length = tokens.shape
    hidden = weights["embedding.word_embeddings.weight"][tokens]
    seen = torch.ones(length, length).tril().bool() & mask.bool()[:, None, :] | ~mask.bool()[:, :, None]  # get_masks: padding sees everything
    for at in range(CONFIG["num_layers"]):
        layer = f"encoder.layers.{at}."
        normed = _normed(hidden, weights[layer + "input_layernorm.weight"])
        mixed = normed @ weights[layer + "self_attention.query_key_value.weight"].T + weights[layer + "self_attention.query_key_value.bias"]
        query, key, value = mixed.split([heads * size, groups * size, groups * size], dim=-1)
        query = _turned(query.view(batch, length, heads, size), positions)
        key = _turned(key.view(batch, length, groups, size), positions).repeat_interleave(heads // groups, dim=2)
        value = value.view(batch, length, groups, size).repeat_interleave(heads // groups, dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / size**0.5
        attention = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
        context = torch.einsum("bhqk,bkhd->bqhd", attention, value).reshape(batch, length, heads * size)
        hidden = hidden + context @ weights[layer + "self_attention.dense.weight"].T
        wide = _normed(hidden, weights[layer + "post_attention_layernorm.weight"]) @ weights[layer + "mlp.dense_h_to_4h.weight"].T
        gate, up = wide.chunk(2, dim=-1)
        hidden = hidden + (gate * gate.sigmoid() * up) @ weights[layer + "mlp.dense_4h_to_h.weight"].T
    return _normed(hidden, weights["encoder.final_layernorm.weight"]) @ weights["output_layer.weight"].T


def _normed(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return weight * hidden * (hidden.pow(2).mean(-1, keepdim=True) + CONFIG["layernorm_epsilon"]).rsqrt()


def _turned(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """apply_rotary_pos_emb: the first half of a head's features, as complex numbers of neighbours, turned by position x theta."""
    turning = CONFIG["kv_channels"] // 2
    theta = 10000.0 ** -(torch.arange(0, turning, 2).double() / turning)
    angles = positions[:, :, None, None] * theta
    pairs = torch.view_as_complex(states[..., :turning].reshape(*states.shape[:-1], turning // 2, 2).contiguous())
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)
    return torch.cat([turned, states[..., turning:]], dim=-1)
