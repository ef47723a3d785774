"""JSON from outside, read so that nothing later has to doubt it: no NaN, no number that overflows, no control character."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel

from harness.outside import printable

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 2**28
LARGEST = 1e150  # its square is still a double

_INFINITE_TEXTS = re.compile(r'"\s*[-+]?(?:[0-9.]+e\+?[0-9]{3,}|[0-9]{300,}|inf|infinity|nan)\s*"', re.IGNORECASE)
_ODD_TEXTS = re.compile(r"\\[ubfr]")


def read_json(path: Path) -> Any:
    """The value in that file. Raises OSError, and ValueError for what is no JSON, or not as this module's first line says."""
    return parsed(read_text(path))


def validated(cls: type[M], text: str, prepare: Callable[[Any], Any]) -> M:
    """The text as a `cls`, through `prepare`; raises what `parsed` and `prepare` raise, and pydantic.ValidationError."""
    values = prepare(parsed(text))
    # pydantic would make infinity of "1e999"; asked to be strict it takes no text for a number, which costs a second pass
    return cls.model_validate_json(json.dumps(values), strict=True) if _INFINITE_TEXTS.search(text) else cls.model_validate(values)


def read_text(path: Path) -> str:
    """The text of a file of a run. Raises OSError, and ValueError for a link, a file that is too large, and one that is not UTF-8."""
    if path.is_symlink():
        raise ValueError("it is a symbolic link: a run holds its files itself")
    if not path.is_file():
        raise FileNotFoundError("it is no file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size / 2**20:,.0f} MiB, and {MAX_BYTES // 2**20} are the most")
    return path.read_text(encoding="utf-8")


def parsed(text: str) -> Any:
    """The value that the text writes; raises ValueError. Characters that a terminal obeys, in keys and texts, come out as `\\x1b`."""
    try:
        found = json.loads(text, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    plain = text.isascii() and "\x7f" not in text  # JSON has no other control characters but escaped ones
    return found if (plain or printable(text) == text) and not _ODD_TEXTS.search(text) else _shown(found)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _whole(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else 2**64
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{digits[:20]}... is beyond 64 bits")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not abs(number) <= LARGEST:
        raise ValueError(f"{digits[:20]} is beyond {LARGEST:g}: nothing that is measured is that large")
    return number


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): _shown(each) for key, each in value.items()}
    return value
