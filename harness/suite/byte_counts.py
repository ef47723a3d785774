"""Amounts of memory as a person writes them: a number of bytes, `16 GB` (16 * 10^9) or `16 GiB` (16 * 2^30)."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]i?B|B)")


def bytes_of(value: Any) -> Any:
    """The bytes that a text such as `16 GB` means, and a whole number written with an exponent; anything else as it is, for its
    type to judge. Raises ValueError for a text that is no amount."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    found = _WRITTEN.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"expected bytes, or an amount such as 16 GB (16e9 bytes) or 16 GiB (16 * 2^30), found {value!r}")
    return round(float(found.group(1)) * _UNITS[found.group(2)])


Bytes: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(bytes_of, json_schema_input_type=int | str)]
