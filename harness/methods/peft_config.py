"""Methods that take every field of their PEFT configuration class, checked against the installed version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from harness.declared import Declared
from harness.errors import Unsupported
from harness.fields import OpenConfig
from harness.methods.base import Attachment
from harness.methods.peft_fields import config_fields, field_problems
from harness.methods.peft_model import PeftMethod


class PeftConfigMethod(PeftMethod, OpenConfig):
    """One PEFT configuration class. What formulas need is declared as fields, with defaults of ours; everything else
    that the class of the installed PEFT takes may be given too and is handed over verbatim."""

    @classmethod
    def configured_by(cls, given: Mapping[str, Any]) -> str | None:
        """Name of the configuration class that these values are for; None where they do not say."""
        return cls.config_class

    @classmethod
    def further_fields(cls, given: Mapping[str, Any]) -> dict[str, Declared] | None:
        """The fields of the configuration class that are not declared here."""
        config_class = cls.configured_by(given)
        if config_class is None:
            return None
        return {name: declared for name, declared in config_fields(config_class).items() if name not in cls.model_fields}

    @classmethod
    def further_problems(cls, given: Mapping[str, Any], beside: Sequence[str] = ()) -> dict[str, str]:
        """What is wrong with each further value."""
        config_class = cls.configured_by(given)
        further = {name: value for name, value in given.items() if name not in cls.model_fields}
        return {} if config_class is None else field_problems(config_class, further, (*cls.model_fields, *beside))

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """Every value that is PEFT's, null ones left to PEFT; those of ours are not among them."""
        known = config_fields(self.peft_class)
        return {name: value for name, value in self.model_dump().items() if name in known and value is not None}

    def off(self, model: Any) -> AbstractContextManager[Any]:
        """PEFT's disable_adapter; raises Unsupported where the base model's own biases were tuned."""
        if self.model_dump().get("bias", "none") != "none":
            raise Unsupported("tuned biases are the base model's own: PEFT keeps no copy to go back to")
        return super().off(model)
