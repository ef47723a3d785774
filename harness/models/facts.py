"""What config.json alone tells of a model: its kind, context and size. No torch, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import RequestError
from harness.models.base import ModelConfig
from harness.models.chatglm import is_chatglm, native_values
from harness.models.families import kind_of
from harness.models.source import local_folder, shape_file, split
from harness.needs import ModelFacts


def read_facts(config: ModelConfig) -> ModelFacts | None:
    """The model's facts; None for a hub model whose config.json has not been downloaded yet.

    Raises RequestError for a folder, shape or config.json that cannot be used.
    """
    path = config_file(config)
    return None if path is None else facts_of(config_values(path))


def config_values(path: Path) -> dict[str, Any]:
    """The values of a config.json, those of the GLM model that stands for it where it is a ChatGLM's.

    Raises RequestError for a file that is no model configuration, or a ChatGLM's that has no counterpart.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise RequestError(f"{path} is no model configuration: it has no model_type")
    return native_values(values, str(path)) if is_chatglm(values) else values


def facts_of(values: dict[str, Any]) -> ModelFacts:
    """Facts from the values of a config.json."""
    model_type = values["model_type"]
    quantization = values.get("quantization_config")
    return ModelFacts(
        model_type=model_type,
        kind=kind_of(model_type, values.get("architectures") or [], bool(values.get("is_encoder_decoder"))),
        context=_context(model_type, values),
        hidden_size=_first(values, "hidden_size", "d_model", "n_embd", "dim"),
        layers=_first(values, "num_hidden_layers", "num_layers", "n_layer", "n_layers"),
        vocabulary=_first(values, "vocab_size", "padded_vocab_size"),
        prequantized=quantization.get("quant_method") if isinstance(quantization, dict) else None,
    )


def config_file(config: ModelConfig) -> Path | None:
    """The model's config.json, or shape file; None for a hub model that has not been downloaded yet."""
    kind, name = split(config.source)
    if kind == "random":
        return shape_file(name)
    if kind == "hub":
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(name, "config.json", revision=config.revision)
        except HFValidationError as error:
            raise RequestError(f"hub:{name} can be no model of the hub: {error}") from error
        return Path(cached) if isinstance(cached, str) else None
    folder = local_folder(config)
    assert folder is not None, "micro: and path: have a folder"
    return folder / "config.json"


def _context(model_type: str, values: dict[str, Any]) -> int | None:
    if model_type in ("t5", "mt5", "bloom"):  # relative positions and ALiBi have no longest input
        return None
    longest = _first(values, "max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len")
    if longest is not None and model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return longest - 2  # their positions start behind the padding index
    return longest


def _first(values: dict[str, Any], *keys: str) -> int | None:
    return next((values[key] for key in keys if isinstance(values.get(key), int)), None)
