"""What can be an id or a suite's name: they end up in tables, file names, globs and commands."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

MAX_LENGTH = 80
_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*\Z", re.ASCII)
_WITH_SLASHES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=/-]*\Z", re.ASCII)


def id_trouble(text: str, *, slashes: bool = False) -> str | None:
    """Why this cannot be an id, or None. slashes: tasks are named like `glue/rte`."""
    if len(text) > MAX_LENGTH:
        return f"{text[:20]!r}... cannot be an id: it has {len(text)} characters, and {MAX_LENGTH} is the most"
    if not (_WITH_SLASHES if slashes else _PATTERN).match(text):
        characters = "letters, digits and . _ - + =" + (" /" if slashes else "")
        return f"{text!r} cannot be an id: {characters} are allowed, a letter or digit first"
    if ".." in text or "//" in text or text.endswith("/"):
        return f"{text!r} cannot be an id: `..`, `//` and a / at the end are not allowed"
    return None


def _checked(text: str) -> str:
    trouble = id_trouble(text)
    if trouble is not None:
        raise ValueError(trouble)
    return text


#: The name of a suite or a claim.
Name = Annotated[
    str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.+=-]*$", "maxLength": MAX_LENGTH})
]
