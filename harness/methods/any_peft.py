"""Everything that the installed PEFT ships, by its type's name and its own configuration fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import field_validator

from harness.errors import Unsupported, nearest
from harness.fields import identity
from harness.methods.base import METHODS, Attachment
from harness.methods.peft_config import PeftConfigMethod
from harness.methods.peft_fields import config_fields, peft_types
from harness.methods.targets import family_targets
from harness.methods.virtual_tokens import read_positions_from_the_mask
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Types that need what only a method of ours gives them: a schedule in the cell's steps, a tokenizer, a way to turn off.
OWN_METHODS: Mapping[str, str] = {
    "ADALORA": "adalora",
    "MULTITASK_PROMPT_TUNING": "multitask-prompt-tuning",
    "P_TUNING": "p-tuning",
    "PREFIX_TUNING": "prefix-tuning",
    "PROMPT_TUNING": "prompt-tuning",
}
#: Types that PEFT trains on more than a cell has.
OUT_OF_REACH: Mapping[str, str] = {
    "POLY": "it routes every row by the task that it belongs to, and a cell has one task",
    "XLORA": "it mixes LoRA adapters that were trained before",
}
#: Types whose change is no change of the base's weights.
UNMERGEABLE: Mapping[str, str] = {
    "ADAPTION_PROMPT": "it is read by attention beside the text",
    "CARTRIDGE": "it is keys and values in the cache",
    "CPT": "it is virtual tokens at the input",
    "LILY": "which of its experts work depends on the input",
    "POLY": "which of its modules work depends on the task of a row",
    "SHADOW": "it runs beside the base as a model of its own",
    "XLORA": "which of its adapters work depends on the input",
}


@METHODS.register("peft")
class AnyPeft(PeftConfigMethod):
    """Any method of the installed PEFT: its type (OFT, BOFT, HRA, FOURIERFT, ...) and the fields of its configuration class.

    All further keys are those fields, verbatim. `target_modules`, where the class has it and it is not given, is
    PEFT's own choice for the family, else the family's query and value. Parameters are PEFT's to count.
    """

    merges: ClassVar[bool] = True  # where PEFT does

    peft_type: str = identity(description="PEFT's name of the type; docs/methods/peft.md lists those of the installed version")

    @field_validator("peft_type")
    @classmethod
    def _type_is_installed(cls, name: str) -> str:
        if name not in peft_types():
            guess = nearest(name.upper(), peft_types())
            hint = f"did you mean {guess}?" if guess else f"it has {', '.join(peft_types())}"
            raise ValueError(f"the installed peft has no type {name!r}; {hint}")
        if name in OWN_METHODS:
            raise ValueError(f"{name} is a method of its own here; give method: {OWN_METHODS[name]}")
        return name

    @classmethod
    def configured_by(cls, given: Mapping[str, Any]) -> str | None:
        """The class of the given type; None where it is not one of PEFT's."""
        _, config_class = peft_types().get(str(given.get("peft_type")), (None, None))
        return config_class

    @property
    def peft_class(self) -> str:
        """Name of the type's configuration class."""
        return peft_types()[self.peft_type][1]

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Refuses what needs more than a cell has."""
        if self.peft_type in OUT_OF_REACH:
            return f"PEFT's {self.peft_type} cannot be tuned here: {OUT_OF_REACH[self.peft_type]}"
        if self.peft_type == "SHADOW" and model is not None and model.kind == "encoder-decoder":
            return "PEFT's SHADOW runs a copy of one stack of layers; an encoder-decoder has two"
        return None

    @property
    def adds_to_loss(self) -> bool:
        """CPT weighs the loss by its tokens, and takes the mean of each batch whatever it is told."""
        return self.peft_type == "CPT"

    @property
    def virtual_tokens(self) -> int:
        """Positions that a soft prompt takes."""
        given = self.model_extra or {}
        return int(given.get("num_virtual_tokens") or len(given.get("cpt_token_ids") or []))

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """The given values; targets, and how matrices are stored, where they are not given."""
        fields, values = config_fields(self.peft_class), super().peft_values(attachment)
        if "target_modules" in fields and "target_modules" not in values and not self._chosen_by_peft(attachment.anatomy.model_type):
            values["target_modules"] = self._default_targets(attachment.anatomy)
        if "fan_in_fan_out" in fields:
            values.setdefault("fan_in_fan_out", any(module.kind == "conv1d" for module in attachment.anatomy.modules))
        return values

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """See PeftMethod.attach; raises Unsupported for soft prompts where PEFT's own are not to be trusted."""
        if "num_virtual_tokens" in config_fields(self.peft_class):
            if attachment.new_head:
                raise Unsupported(f"{self.peft_type} is for language models: PEFT cannot turn a prompt off before a new task head")
            if attachment.gradient_checkpointing and self.peft_type == "CARTRIDGE":
                raise Unsupported("CARTRIDGE puts keys and values into the cache, which gradient checkpointing switches off")
        return self._positioned(super().attach(model, attachment), attachment)

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """See PeftMethod.reload."""
        return self._positioned(super().reload(model, folder, attachment), attachment)

    def unmergeable(self) -> str | None:
        """See Method.unmergeable."""
        reason = UNMERGEABLE.get(self.peft_type)
        return None if reason is None else f"PEFT's {self.peft_type} cannot be merged into the base weights: {reason}"

    def merged(self, model: Any) -> Any:
        """PEFT's merge_and_unload, for the types that have one."""
        reason = self.unmergeable()
        if reason is not None:
            raise Unsupported(reason)
        return super().merged(model)

    def _positioned(self, wrapped: Any, attachment: Attachment) -> Any:
        """The model, told where a text stands behind a prompt at the input."""
        if self.peft_type == "CPT":
            read_positions_from_the_mask(wrapped, attachment)
        return wrapped

    def _chosen_by_peft(self, model_type: str) -> bool:
        """Whether PEFT chooses the targets by itself: for a family that its type's table has, or without a table."""
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        table = getattr(PEFT_TYPE_TO_TUNER_MAPPING[self.peft_type], "target_module_mapping", None)
        return table is None or model_type in table

    def _default_targets(self, anatomy: Anatomy) -> list[str]:
        """Norms, whole layers or, for all others, the family's query and value."""
        if self.peft_type == "LN_TUNING":
            return [module.name for module in anatomy.norms()]
        if self.peft_type == "SHADOW":
            layers = (re.match(r"(?:.*?\.)?\d+(?=\.)", module.name) for module in anatomy.matrices())
            return list(dict.fromkeys(found[0] for found in layers if found is not None))
        return family_targets(anatomy.model_type)
