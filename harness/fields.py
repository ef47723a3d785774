"""How configuration is declared: pydantic models whose every field says if it is part of a cell's identity.

*identity*: can change a result, so it is hashed into the cell id.
*runtime*: cannot (where things lie, how often a sampler looks, how long one waits), so it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.declared import Declared


class Config(BaseModel):
    """Base of all configuration: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def identity(self) -> dict[str, Any]:
        """The identity fields as plain JSON values, nested configuration included."""
        values = self.model_dump(mode="json", serialize_as_any=True)
        chosen: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            if role(info.json_schema_extra) != "identity":
                continue
            value = getattr(self, name)
            if _came_later(info.json_schema_extra) and value == info.get_default(call_default_factory=True):
                continue
            chosen[name] = value.identity() if isinstance(value, Config) else values[name]
        return chosen


class OpenConfig(Config):
    """Configuration that takes the fields of a library's own class as well: checked against it, part of the identity,
    handed over verbatim. A subclass says which fields these are; of several bases this is the last, because pydantic
    takes what is to be done with extra fields from there."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        assert cls.model_config.get("extra") == "allow", f"{cls.__name__} must name its open base last"

    @classmethod
    def further_fields(cls, given: Mapping[str, Any]) -> dict[str, Declared] | None:
        """The library's fields that may be given beside those declared here, by name; None where `given` does not say which."""
        raise NotImplementedError

    @classmethod
    def further_problems(cls, given: Mapping[str, Any], beside: Sequence[str] = ()) -> dict[str, str]:
        """What is wrong with each given value that is none of the fields declared here, by name; empty when nothing is.

        beside: names that the person could have meant as well.
        """
        raise NotImplementedError

    @model_validator(mode="after")
    def _further_fields_are_the_librarys(self) -> OpenConfig:
        problems = self.further_problems(self.model_dump(exclude_unset=True)) if self.model_extra else {}
        if problems:
            text = "; ".join(f"{name}: {message}" for name, message in problems.items())
            raise PydanticCustomError(FURTHER_FIELD, "{text}", {"text": text})
        return self

    def identity(self) -> dict[str, Any]:
        """Declared identity fields and every further value given."""
        return super().identity() | dict(self.model_extra or {})


#: The type of pydantic's error for a further field that is not the library's.
FURTHER_FIELD = "further_field"


def identity(default: Any = ..., description: str = "", **constraints: Any) -> Any:
    """A field that can change a result; `constraints` are pydantic's (ge, le, pattern, default_factory ...)."""
    return _field(default, description, "identity", constraints)


def later(default: Any = ..., description: str = "", **constraints: Any) -> Any:
    """An identity field that came after cells had been run without it: at its default it is left out of the identity, so
    that they keep their ids."""
    return _field(default, description, "identity", constraints, {"later": True})


def runtime(default: Any = ..., description: str = "", **constraints: Any) -> Any:
    """A field that cannot change a result."""
    return _field(default, description, "runtime", constraints)


def role(json_schema_extra: Any) -> str | None:
    """`identity`, `runtime`, or None where a field declared neither (a test refuses that)."""
    return json_schema_extra.get("role") if isinstance(json_schema_extra, dict) else None


def _came_later(json_schema_extra: Any) -> bool:
    return isinstance(json_schema_extra, dict) and bool(json_schema_extra.get("later"))


def _field(default: Any, description: str, kind: str, constraints: dict[str, Any], marks: Mapping[str, Any] | None = None) -> Any:
    extra: dict[str, Any] = {"role": kind, **(marks or {})}
    if "default_factory" in constraints:
        return Field(description=description, json_schema_extra=extra, **constraints)
    return Field(default, description=description, json_schema_extra=extra, **constraints)
