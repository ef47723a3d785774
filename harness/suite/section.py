"""The base of a suite's sections that are not configuration of a cell."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of the suite's sections that are not configuration of a cell: unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
