"""Tuners of our own, registered with PEFT: what the library does not ship, under its contract of saving, loading and turning off.

Importing this package imports neither torch nor PEFT; `config_kind` does.
"""

from __future__ import annotations

from typing import Any


def config_kind(name: str) -> Any:
    """The PEFT configuration class of that name: ours for PeltConfig, which it registers with PEFT, else PEFT's own.

    Raises harness.errors.Unsupported for a class that the installed PEFT does not have.
    """
    import peft

    from harness.errors import Unsupported

    if name == "PeltConfig":
        return _registered()
    if not hasattr(peft, name):
        raise Unsupported(f"peft {peft.__version__} has no {name}")
    return getattr(peft, name)


def _registered() -> Any:
    """PeltConfig, known to PEFT by its type. PEFT's own registration takes only the types of its enum, so ours goes
    straight into the dictionaries that it fills; doing so again changes nothing."""
    from peft.mapping import (
        PEFT_TYPE_TO_CONFIG_MAPPING,
        PEFT_TYPE_TO_PREFIX_MAPPING,
        PEFT_TYPE_TO_TUNER_MAPPING,
    )

    from harness.methods.tuners.config import PELT, PeltConfig
    from harness.methods.tuners.model import PeltModel

    PEFT_TYPE_TO_CONFIG_MAPPING[PELT] = PeltConfig
    PEFT_TYPE_TO_TUNER_MAPPING[PELT] = PeltModel
    PEFT_TYPE_TO_PREFIX_MAPPING[PELT] = PeltModel.prefix
    return PeltConfig
