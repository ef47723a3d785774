"""What model families have in common: their kind, and the part that each of their modules plays.

Methods attach to parts (`query`, `ffn_out`), never to names, so that one definition of a method serves every family.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["query", "key", "value", "qkv", "attention_out", "ffn_in", "ffn_gate", "ffn_out"]


@dataclass(frozen=True)
class Family:
    """The modules of one architecture's layers.

    kind: decoder, encoder or encoder-decoder. parts: how a module's name ends -> the part it plays; the longest
    ending that fits counts (`attention.output.dense` before `output.dense`). prefixes: whether its attention goes
    through transformers' attention interface, where keys and values can be put before a sequence's own.
    """

    kind: str
    parts: Mapping[str, Part]
    prefixes: bool = True

    def part(self, name: str) -> Part | None:
        """The part that the module of that full name plays, None where it is none of these."""
        fitting = [ending for ending in self.parts if name == ending or name.endswith(f".{ending}")]
        return self.parts[max(fitting, key=len)] if fitting else None

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """Last names of the projections that the LoRA paper tunes: query and value, or the fused one."""
        ends = (ending.rpartition(".")[2] for ending, part in self.parts.items() if part in ("query", "value", "qkv"))
        return tuple(dict.fromkeys(ends))


_BERT: dict[str, Part] = {
    "self.query": "query", "self.key": "key", "self.value": "value", "attention.output.dense": "attention_out",
    "intermediate.dense": "ffn_in", "output.dense": "ffn_out",
}  # fmt: skip
_DEBERTA_V2: dict[str, Part] = {
    "self.query_proj": "query", "self.key_proj": "key", "self.value_proj": "value",
    "attention.output.dense": "attention_out", "intermediate.dense": "ffn_in", "output.dense": "ffn_out",
}  # fmt: skip
_DEBERTA: dict[str, Part] = {
    "self.in_proj": "qkv", "attention.output.dense": "attention_out", "intermediate.dense": "ffn_in", "output.dense": "ffn_out",
}  # fmt: skip
_PROJECTIONS: dict[str, Part] = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
_LLAMA: dict[str, Part] = {
    **_PROJECTIONS, "self_attn.o_proj": "attention_out", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_in", "mlp.down_proj": "ffn_out",
}  # fmt: skip
_GLM: dict[str, Part] = {**_PROJECTIONS, "self_attn.o_proj": "attention_out", "mlp.gate_up_proj": "ffn_in", "mlp.down_proj": "ffn_out"}
_PHI3: dict[str, Part] = {
    "qkv_proj": "qkv", "self_attn.o_proj": "attention_out", "mlp.gate_up_proj": "ffn_in", "mlp.down_proj": "ffn_out",
}  # fmt: skip
_OPT: dict[str, Part] = {
    **_PROJECTIONS, "self_attn.out_proj": "attention_out", "encoder_attn.out_proj": "attention_out", "fc1": "ffn_in", "fc2": "ffn_out",
}  # fmt: skip
_BLOOM: dict[str, Part] = {
    "query_key_value": "qkv", "self_attention.dense": "attention_out", "attention.dense": "attention_out",
    "mlp.dense_h_to_4h": "ffn_in", "mlp.dense_4h_to_h": "ffn_out",
}  # fmt: skip
_GPT2: dict[str, Part] = {"attn.c_attn": "qkv", "attn.c_proj": "attention_out", "mlp.c_fc": "ffn_in", "mlp.c_proj": "ffn_out"}
_T5: dict[str, Part] = {
    "SelfAttention.q": "query", "SelfAttention.k": "key", "SelfAttention.v": "value", "SelfAttention.o": "attention_out",
    "EncDecAttention.q": "query", "EncDecAttention.k": "key", "EncDecAttention.v": "value", "EncDecAttention.o": "attention_out",
    "DenseReluDense.wi": "ffn_in", "DenseReluDense.wi_0": "ffn_gate", "DenseReluDense.wi_1": "ffn_in", "DenseReluDense.wo": "ffn_out",
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "bert": Family("encoder", _BERT),
    "deberta": Family("encoder", _DEBERTA, prefixes=False),
    "deberta-v2": Family("encoder", _DEBERTA_V2, prefixes=False),
    "distilbert": Family("encoder", {
        "q_lin": "query", "k_lin": "key", "v_lin": "value", "out_lin": "attention_out", "ffn.lin1": "ffn_in", "ffn.lin2": "ffn_out",
    }),
    "electra": Family("encoder", _BERT),
    "modernbert": Family("encoder", {"attn.Wqkv": "qkv", "attn.Wo": "attention_out", "mlp.Wi": "ffn_in", "mlp.Wo": "ffn_out"}),
    "roberta": Family("encoder", _BERT),
    "xlm-roberta": Family("encoder", _BERT),
    "bloom": Family("decoder", _BLOOM, prefixes=False),
    "falcon": Family("decoder", _BLOOM, prefixes=False),
    "gemma": Family("decoder", _LLAMA),
    "gemma2": Family("decoder", _LLAMA),
    "glm": Family("decoder", _GLM),
    "glm4": Family("decoder", _GLM),
    "gpt2": Family("decoder", _GPT2),
    "gpt_neox": Family("decoder", _BLOOM),
    "llama": Family("decoder", _LLAMA),
    "mistral": Family("decoder", _LLAMA),
    "opt": Family("decoder", _OPT),
    "phi3": Family("decoder", _PHI3),
    "qwen2": Family("decoder", _LLAMA),
    "qwen3": Family("decoder", _LLAMA),
    "bart": Family("encoder-decoder", _OPT),
    "mbart": Family("encoder-decoder", _OPT),
    "mt5": Family("encoder-decoder", _T5),
    "t5": Family("encoder-decoder", _T5),
}  # fmt: skip


def stack_of(name: str, kind: str) -> str:
    """`encoder` or `decoder`: the stack that the module of that full name belongs to, in a model of that kind."""
    return "encoder" if kind == "encoder" or re.search(r"(^|\.)encoder\.", name) else "decoder"


def is_cross_attention(name: str) -> bool:
    """Whether the module of that full name is, or is in, a decoder's attention to its encoder."""
    return re.search(r"(^|\.)(EncDecAttention|encoder_attn|crossattention)(\.|$)", name) is not None


def kind_of(model_type: str, architectures: list[str], is_encoder_decoder: bool) -> str:
    """decoder, encoder or encoder-decoder: from the table, else from what config.json says of itself.

    `architectures` are class names such as BertForMaskedLM. A model that says nothing is taken as a decoder,
    today's most common kind; the load phase finds out.
    """
    if model_type in FAMILIES:
        return FAMILIES[model_type].kind
    if is_encoder_decoder:
        return "encoder-decoder"
    if any(part in name for name in architectures for part in ("MaskedLM", "SequenceClassification", "QuestionAnswering")):
        return "encoder"
    return "decoder"
