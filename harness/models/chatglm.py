"""ChatGLM2's and ChatGLM3's checkpoints as transformers' own GLM class reads them: every field of config.json, every weight's name.

Both models compute the same function (published code: `modeling_chatglm.py` of THUDM/chatglm2-6b and THUDM/chatglm3-6b; transformers:
`models/glm/modeling_glm.py`), so the weights are the checkpoint's own, renamed, and query, key and value cut apart. See docs/models.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPE = "chatglm"

# Sizes, and what GLM calls them. The published code has a default for each; a config.json that leaves one out is not a checkpoint's.
SIZES = {
    "num_layers": "num_hidden_layers", "padded_vocab_size": "vocab_size", "hidden_size": "hidden_size", "ffn_hidden_size": "intermediate_size",
    "kv_channels": "head_dim", "num_attention_heads": "num_attention_heads", "multi_query_group_num": "num_key_value_heads",
    "seq_length": "max_position_embeddings", "layernorm_epsilon": "rms_norm_eps",
}  # fmt: skip
# What GLM computes is ChatGLM's function for these values only; the second is the published code's default.
REQUIRED: dict[str, tuple[Any, Any]] = {
    "multi_query_attention": (True, False), "add_bias_linear": (False, False), "rmsnorm": (True, True), "post_layer_norm": (True, True),
    "apply_residual_connection_post_layernorm": (False, False), "fp32_residual_connection": (False, False), "tie_word_embeddings": (False, False),
    "hidden_dropout": (0.0, 0.0), "attention_dropout": (0.0, 0.0), "interleaved_qkv": (False, False), "rotary_percent": (1.0, 1.0),
    "original_rope": (True, True),
}  # fmt: skip
KEPT = ("bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "torch_dtype", "dtype")
# What changes no logit: the two about attention cancel out, or are not read where torch computes attention (2.0 and later).
WITHOUT_EFFECT = {
    "_name_or_path", "architectures", "attention_softmax_in_fp32", "apply_query_key_layer_scaling", "auto_map", "bias_dropout_fusion",
    "classifier_dropout", "model_type", "prefix_projection", "transformers_version",
}  # fmt: skip
OWN = {"add_qkv_bias", "vocab_size", "pre_seq_len", "quantization_bit", "rope_ratio"}  # looked at by themselves
FIRST_VERSION = ("position_encoding_2d", "inner_hidden_size", "max_sequence_length")

_NAMES = {
    "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "transformer.encoder.final_layernorm.weight": "model.norm.weight",
    "transformer.output_layer.weight": "lm_head.weight",
}
_LAYER = re.compile(r"transformer\.encoder\.layers\.(\d+)\.(.+)")
_LAYER_NAMES = {
    "input_layernorm.weight": "input_layernorm.weight",
    "self_attention.dense.weight": "self_attn.o_proj.weight",
    "post_attention_layernorm.weight": "post_attention_layernorm.weight",
    "mlp.dense_h_to_4h.weight": "mlp.gate_up_proj.weight",
    "mlp.dense_4h_to_h.weight": "mlp.down_proj.weight",
}
_FUSED = "self_attention.query_key_value."
_RECOMPUTED = "transformer.rotary_pos_emb.inv_freq"  # the published code reads its dtype only


def is_chatglm(values: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a ChatGLM checkpoint, of any version."""
    return values.get("model_type") == MODEL_TYPE


def native_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config.json of the GLM model that computes the same; `where` is what an error calls the checkpoint.

    Raises RequestError that names the fields: another version, a prefix encoder, quantized weights, a size that is missing,
    a value for which GLM computes something else, a field that nobody knows.
    """
    _refuse_other_kinds(values, where)
    missing = [name for name in SIZES if not isinstance(values.get(name), int | float)]
    if missing:
        raise RequestError(f"{where} does not say its {', '.join(missing)}")
    for name, (needed, default) in REQUIRED.items():
        if values.get(name, default) != needed:
            raise RequestError(
                f"{where} has {name}: {values.get(name, default)!r}; transformers' GLM computes ChatGLM's function for {needed!r} only"
            )
    if values.get("vocab_size", values["padded_vocab_size"]) != values["padded_vocab_size"]:
        raise RequestError(f"{where} has vocab_size {values['vocab_size']} and padded_vocab_size {values['padded_vocab_size']}, which should be one number")
    unknown = sorted(set(values) - set(SIZES) - set(REQUIRED) - set(KEPT) - WITHOUT_EFFECT - OWN)
    if unknown:
        raise RequestError(f"{where} has {', '.join(unknown)}, which the published code of ChatGLM2 and ChatGLM3 does not know: what GLM would compute may differ")
    kept = {"dtype" if name == "torch_dtype" else name: values[name] for name in KEPT if values.get(name) is not None}
    return {native: values[name] for name, native in SIZES.items()} | kept | {
        "model_type": "glm", "architectures": ["GlmForCausalLM"], "hidden_act": "silu", "attention_bias": bool(values.get("add_qkv_bias", False)),
        "attention_dropout": 0.0, "tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    }  # fmt: skip


def _refuse_other_kinds(values: Mapping[str, Any], where: str) -> None:
    first = [name for name in FIRST_VERSION if name in values]
    if first:
        raise RequestError(f"{where} is a ChatGLM-6B of the first version ({first[0]}), another architecture; ChatGLM2-6B and ChatGLM3-6B can be loaded")
    if values.get("pre_seq_len") is not None:
        raise RequestError(f"{where} has a prefix encoder (pre_seq_len: {values['pre_seq_len']}): give the model it was tuned from, and tune with prefix-tuning")
    if values.get("quantization_bit"):
        raise RequestError(f"{where} stores weights of {values['quantization_bit']} bits in a form of its own (quantization_bit): give the 16-bit checkpoint and a scheme")
    if values.get("rope_ratio", 1) != 1:
        raise RequestError(
            f"{where} has rope_ratio: {values['rope_ratio']}, which ChatGLM2-6B-32k, ChatGLM3-6B-32k and GLM-4 each read in their own way; "
            "for GLM-4-9B give zai-org/glm-4-9b-hf, which transformers reads itself"
        )


def native_weights(name: str, values: Tensor, native: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """One tensor of the checkpoint as GLM's tensors, by name; empty for what is computed anew, None for a name ChatGLM does not have.

    `native`: the translated config.json. The fused projection holds all query heads' rows, then the key groups', then the value groups'.
    Raises ValueError where its number of rows is another.
    """
    if name == _RECOMPUTED:
        return {}
    if name in _NAMES:
        return {_NAMES[name]: values}
    found = _LAYER.fullmatch(name)
    if found is None:
        return None
    layer, rest = found.groups()
    if rest in _LAYER_NAMES:
        return {f"model.layers.{layer}.{_LAYER_NAMES[rest]}": values}
    kind = rest.removeprefix(_FUSED)
    if not rest.startswith(_FUSED) or kind not in ("weight", "bias"):
        return None
    heads, groups = native["num_attention_heads"], native["num_key_value_heads"]
    rows = [count * native["head_dim"] for count in (heads, groups, groups)]
    if values.shape[0] != sum(rows):
        raise ValueError(f"{name} has {values.shape[0]} rows; {heads} heads and 2 x {groups} groups of {native['head_dim']} make {sum(rows)}")
    parts = zip(("q_proj", "k_proj", "v_proj"), values.split(rows), strict=True)
    return {f"model.layers.{layer}.self_attn.{part}.{kind}": cut.clone() for part, cut in parts}
