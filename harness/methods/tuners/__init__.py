"""Tuners of our own, registered with PEFT: what the library does not ship, under its contract of saving, loading and turning off.

Importing this package imports neither torch nor PEFT; `config_kind` does.
"""

from __future__ import annotations

from typing import Any


def config_kind(name: str) -> Any:
    """The PEFT configuration class of that name: PEFT's own."""
    import peft

    return getattr(peft, name)
