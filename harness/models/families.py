"""What model families have in common: their kind, and the module names that methods attach to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Module names of one architecture.

    kind: decoder, encoder or encoder-decoder. lora_targets: the attention projections that the LoRA paper
    tunes (query and value; fused projections whole), PEFT's default where PEFT has one.
    """

    kind: str
    lora_targets: tuple[str, ...]


_QV = ("q_proj", "v_proj")

FAMILIES: dict[str, Family] = {
    "albert": Family("encoder", ("query", "value")),
    "bert": Family("encoder", ("query", "value")),
    "deberta": Family("encoder", ("in_proj",)),
    "deberta-v2": Family("encoder", ("query_proj", "value_proj")),
    "distilbert": Family("encoder", ("q_lin", "v_lin")),
    "electra": Family("encoder", ("query", "value")),
    "modernbert": Family("encoder", ("Wqkv",)),
    "mpnet": Family("encoder", ("q", "v")),
    "roberta": Family("encoder", ("query", "value")),
    "xlm-roberta": Family("encoder", ("query", "value")),
    "bloom": Family("decoder", ("query_key_value",)),
    "chatglm": Family("decoder", ("query_key_value",)),
    "falcon": Family("decoder", ("query_key_value",)),
    "gemma": Family("decoder", _QV),
    "gemma2": Family("decoder", _QV),
    "glm": Family("decoder", _QV),
    "glm4": Family("decoder", _QV),
    "gpt2": Family("decoder", ("c_attn",)),
    "gpt_neox": Family("decoder", ("query_key_value",)),
    "gptj": Family("decoder", _QV),
    "llama": Family("decoder", _QV),
    "mistral": Family("decoder", _QV),
    "opt": Family("decoder", _QV),
    "phi": Family("decoder", _QV),
    "phi3": Family("decoder", ("qkv_proj",)),
    "qwen2": Family("decoder", _QV),
    "qwen3": Family("decoder", _QV),
    "bart": Family("encoder-decoder", _QV),
    "mbart": Family("encoder-decoder", _QV),
    "mt5": Family("encoder-decoder", ("q", "v")),
    "t5": Family("encoder-decoder", ("q", "v")),
}


def kind_of(model_type: str, architectures: list[str], is_encoder_decoder: bool) -> str:
    """decoder, encoder or encoder-decoder: from the table, else from what config.json says of itself.

    `architectures` are class names such as BertForMaskedLM. A model that says nothing is taken as a decoder,
    today's most common kind; the load phase finds out.
    """
    if model_type in FAMILIES:
        return FAMILIES[model_type].kind
    if is_encoder_decoder:
        return "encoder-decoder"
    if any("MaskedLM" in name or "SequenceClassification" in name for name in architectures):
        return "encoder"
    return "decoder"
