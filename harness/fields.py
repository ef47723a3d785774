"""How configuration is declared: pydantic models whose every field says if it is part of a cell's identity.

*identity*: can change a result, so it is hashed into the cell id.
*runtime*: cannot (where things lie, how often a sampler looks, how long one waits), so it is not.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
            chosen[name] = value.identity() if isinstance(value, Config) else values[name]
        return chosen


def identity(default: Any = ..., description: str = "", **constraints: Any) -> Any:
    """A field that can change a result; `constraints` are pydantic's (ge, le, pattern, default_factory ...)."""
    return _field(default, description, "identity", constraints)


def runtime(default: Any = ..., description: str = "", **constraints: Any) -> Any:
    """A field that cannot change a result."""
    return _field(default, description, "runtime", constraints)


def role(json_schema_extra: Any) -> str | None:
    """`identity`, `runtime`, or None where a field declared neither (a test refuses that)."""
    return json_schema_extra.get("role") if isinstance(json_schema_extra, dict) else None


def _field(default: Any, description: str, kind: str, constraints: dict[str, Any]) -> Any:
    extra: dict[str, Any] = {"role": kind}
    if "default_factory" in constraints:
        return Field(description=description, json_schema_extra=extra, **constraints)
    return Field(default, description=description, json_schema_extra=extra, **constraints)
