"""Attaches a PEFT method: what all of them share, whatever their configuration class."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.methods.base import Attachment
from harness.models.load import head_modules

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TASK_TYPES = {"causal-lm": "CAUSAL_LM", "seq2seq-lm": "SEQ_2_SEQ_LM", "sequence-classification": "SEQ_CLS"}
REENTRANT = {"use_reentrant": False}  # the reentrant form drops gradients behind frozen embeddings


def attach_peft(model: PreTrainedModel, config_class: str, values: dict[str, Any], attachment: Attachment) -> Any:
    """The PeftModel of `peft.<config_class>(**values)` on `model`, the task head tuned with it.

    A quantized base goes through PEFT's prepare_model_for_kbit_training first. Raises Unsupported with PEFT's
    own words where it refuses the combination.
    """
    import peft

    if attachment.scheme.kbit:
        model = peft.prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=attachment.gradient_checkpointing, gradient_checkpointing_kwargs=REENTRANT
        )
    kind = getattr(peft, config_class)
    if attachment.head == "sequence-classification":
        values = _with_head(values, head_modules(model))
    known = {field.name for field in dataclasses.fields(kind)}
    missing = sorted(set(values) - known)
    if missing:
        raise Unsupported(f"peft {peft.__version__} has no {config_class}.{missing[0]}")
    try:
        config = kind(task_type=TASK_TYPES[attachment.head], **_nested(kind, values))
        return peft.get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise Unsupported(f"peft refuses {config_class} here: {' '.join(str(error).split())}") from error


def _with_head(values: dict[str, Any], head: list[str]) -> dict[str, Any]:
    """The head is tuned whole, and is no target of the low-rank update as well."""
    merged = dict(values)
    merged["modules_to_save"] = sorted({*(values.get("modules_to_save") or []), *head})
    if values.get("target_modules") == "all-linear" and "exclude_modules" not in values:
        merged["exclude_modules"] = rf"^({'|'.join(head)})(\..*)?$"
    return merged


def _nested(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Mappings for fields whose type is a dataclass become that dataclass (EvaConfig, LoraRuntimeConfig, ...)."""
    hints = typing.get_type_hints(kind)
    built = dict(values)
    for name, value in values.items():
        classes: list[Any] = [option for option in (typing.get_args(hints[name]) or (hints[name],)) if dataclasses.is_dataclass(option)]
        if isinstance(value, dict) and classes:
            built[name] = classes[0](**value)
    return built
