"""What all methods through PEFT share: attaching, saving, reloading, turning off and merging, whatever their configuration class."""

from __future__ import annotations

import dataclasses
import typing
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import Unsupported
from harness.methods.base import Attachment, Method
from harness.methods.heads import tune_in_float32
from harness.methods.tuners import config_kind
from harness.models.load import head_modules
from harness.needs import Needs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: PEFT's kinds of wrapper. None: the plain one. That for question answering (PEFT 0.21) does not hand segment ids on to the model.
TASK_TYPES: dict[str, str | None] = {
    "causal-lm": "CAUSAL_LM", "seq2seq-lm": "SEQ_2_SEQ_LM", "sequence-classification": "SEQ_CLS", "question-answering": None
}  # fmt: skip
REENTRANT = {"use_reentrant": False}  # the reentrant form drops gradients behind frozen embeddings
#: Libraries of quantized layers into which PEFT 0.21 merges without an error, and not what was tuned.
MERGED_WRONG = {"hqq": "PEFT leaves out biases when it merges into hqq's layers", "quanto": "PEFT merges into quanto's layers without effect"}


class PeftMethod(Method):
    """A method that is one PEFT configuration. A subclass names its class and gives its values.

    config_class: name of the class in `peft`, or in `harness.methods.tuners` for the tuners of our own.
    """

    needs: ClassVar[Needs] = Needs(packages=("peft",))
    config_class: ClassVar[str]

    @property
    def peft_class(self) -> str:
        """Name of the configuration class of this method as it is configured."""
        return self.config_class

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """The configuration's values by PEFT's names, task type and head not among them."""
        raise NotImplementedError

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """A PeftModel with frozen base weights; raises Unsupported with PEFT's own words where it refuses."""
        return attach_peft(model, self.peft_class, self.peft_values(attachment), attachment)

    def save(self, model: Any, folder: Path) -> None:
        """PEFT's adapter_model.safetensors and adapter_config.json."""
        model.save_pretrained(folder)

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """PEFT's own from_pretrained on the prepared base."""
        import peft

        config_kind(self.peft_class)  # registers a tuner of our own
        return with_saved_head(peft.PeftModel.from_pretrained(prepared(model, attachment), str(folder), is_trainable=False), folder, attachment)

    def off(self, model: Any) -> AbstractContextManager[Any]:
        """PEFT's disable_adapter: the frozen base, its head as it was before training."""
        context: AbstractContextManager[Any] = model.disable_adapter()
        return context

    def merged(self, model: Any) -> Any:
        """PEFT's merge_and_unload, the tuned head in its place; raises Unsupported where the method cannot merge."""
        if not self.merges:
            return super().merged(model)
        wrong = MERGED_WRONG.get(getattr(model.get_base_model(), "quantization_method", ""))
        if wrong is not None:
            raise Unsupported(f"{wrong}; merged into dequantized weights (measure.forms) it is right")
        _unwrap_saved(model)
        try:
            return model.merge_and_unload()
        except (ValueError, NotImplementedError) as error:
            words = " ".join(str(error).split()) or "it has no code for these weights"
            raise Unsupported(f"peft does not merge {self.peft_class} here: {words}") from error


def attach_peft(model: PreTrainedModel, config_class: str, values: dict[str, Any], attachment: Attachment) -> Any:
    """The PeftModel of `<config_class>(**values)` on `model`, the task head tuned with it.

    A quantized base goes through PEFT's prepare_model_for_kbit_training first. Raises Unsupported with PEFT's
    own words where it refuses the combination.
    """
    import peft

    model = prepared(model, attachment)
    kind = config_kind(config_class)
    if attachment.new_head:
        values = _with_head(values, head_modules(model))
    known = {field.name for field in dataclasses.fields(kind)}
    if "modules_to_save" in set(values) - known:
        raise Unsupported(f"peft's {config_class} has no modules_to_save: it cannot tune a new task head beside it")
    missing = sorted(set(values) - known)
    if missing:
        raise Unsupported(f"peft {peft.__version__} has no {config_class}.{missing[0]}")
    try:
        config = kind(task_type=TASK_TYPES[attachment.head], **_nested(kind, values))
        wrapped = peft.get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise Unsupported(f"peft refuses {config_class} here: {' '.join(str(error).split())}") from error
    _tune_heads(wrapped, attachment)
    return wrapped


def with_saved_head(model: Any, folder: Path, attachment: Attachment) -> Any:
    """A reloaded PeftModel, its head in the float32 that it was tuned and saved in: PEFT rounds it to the base's dtype."""
    import peft
    import torch

    heads = _tune_heads(model, attachment)
    if heads:
        saved = peft.load_peft_weights(str(folder), device=str(model.device))
        with torch.no_grad():
            for name, head in heads:
                for parameter, values in head.named_parameters():
                    values.copy_(saved[f"{name}.{parameter}"])
    return model


def _tune_heads(model: Any, attachment: Attachment) -> list[tuple[str, Any]]:
    """Puts the tuned copies of the task head into float32, where they are not; those, with the heads' names."""
    from peft.utils import ModulesToSaveWrapper

    if not attachment.new_head:
        return []
    heads = [(name, module) for name, module in model.named_modules() if isinstance(module, ModulesToSaveWrapper)]
    copies = [(name, copy) for name, head in heads for copy in head.modules_to_save.values()]
    return [(name, copy) for name, copy in copies if tune_in_float32(copy, attachment)]


def prepared(model: PreTrainedModel, attachment: Attachment) -> PreTrainedModel:
    """The model ready for training beside its weights: a quantized one through PEFT's prepare_model_for_kbit_training."""
    import peft

    if not attachment.scheme.kbit:
        return model
    ready: PreTrainedModel = peft.prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=attachment.gradient_checkpointing, gradient_checkpointing_kwargs=REENTRANT
    )
    return ready


def _with_head(values: dict[str, Any], head: list[str]) -> dict[str, Any]:
    """The head is tuned whole, and is no target of the low-rank update as well."""
    merged = dict(values)
    merged["modules_to_save"] = sorted({*(values.get("modules_to_save") or []), *head})
    if values.get("target_modules") == "all-linear" and "exclude_modules" not in values:
        merged["exclude_modules"] = rf"^({'|'.join(head)})(\..*)?$"
    return merged


def _unwrap_saved(model: Any) -> None:
    """Puts modules that were tuned whole back in their place: merging, PEFT 0.21 takes a head of several layers for one matrix."""
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.modules_to_save[model.active_adapter])


def _nested(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Mappings for fields whose type is a dataclass become that dataclass (EvaConfig, LoraRuntimeConfig, ...)."""
    hints = typing.get_type_hints(kind)
    built = dict(values)
    for name, value in values.items():
        classes: list[Any] = [option for option in (typing.get_args(hints[name]) or (hints[name],)) if dataclasses.is_dataclass(option)]
        if isinstance(value, dict) and classes:
            built[name] = classes[0](**value)
    return built
