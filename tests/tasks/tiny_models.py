"""Configurations of tiny models whose weights are wide enough that every input has its own output."""

from __future__ import annotations

from typing import Any

VOCABULARY = 400


def decoder_config(kind: str = "llama", context: int = 256, **more: Any) -> Any:
    from transformers import GPT2Config, LlamaConfig, OPTConfig

    if kind == "gpt2":
        return GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=context, initializer_range=0.3, bos_token_id=0, eos_token_id=1, **more)
    if kind == "opt":
        return OPTConfig(vocab_size=VOCABULARY, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=context, word_embed_proj_dim=32, init_std=0.3, pad_token_id=1, bos_token_id=0, eos_token_id=1, **more)
    return LlamaConfig(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=context, initializer_range=0.3, bos_token_id=0, eos_token_id=1, **more)


def encoder_decoder_config(**more: Any) -> Any:
    from transformers import T5Config

    return T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=3.0, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, **more)
