"""Text from outside (libraries, other people's records, the machine) made safe to show and to keep: no control characters, no secrets.

docs/security.md says what counts as a secret and where it is looked for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

T = TypeVar("T", str, bytes)

REDACTED = "REDACTED"  # no character in it means anything in YAML, JSON, Markdown or HTML
LEAST_CHARACTERS = 8  # of a secret: shorter values stand in other words
LEAST_LETTERS = 16  # of one of letters alone: shorter ones are words

# C0 and C1 but tab and newline, directions and their overrides (Unicode TR 36), line separators, what has no character, tags
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\uffff\U000e0000-\U000e007f]")
_SECRET_NAME = re.compile(r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEY|AUTH|(?:API|ACCESS|PRIVATE|SECRET|ENCRYPTION|ACCOUNT)_KEY)(?:_|$)")
_IN_URL = re.compile(r"(://)[^\s/@'\"<>]+@")
_KNOWN_FORMS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|AKIA[0-9A-Z]{16}|xox[abposr]-[\w-]{10,}|sk-[A-Za-z0-9_-]{32,})"
)

_STARTS = ("hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "xox", "sk-")


def printable(text: str) -> str:
    """The text with every character that a terminal obeys or that hides or turns others written out: `\\x1b`, `\\u202e`. Tabs and newlines stay."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def redacted(content: T) -> T:
    """Text or bytes with every secret of this process, and what looks like a token or a URL's password, replaced by REDACTED."""
    text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    for form in _forms():
        text = text.replace(form, REDACTED)
    if "://" in text:
        text = _IN_URL.sub(rf"\1{REDACTED}@", text)
    if any(start in text for start in _STARTS):  # looked for first: in a report of many megabytes the pattern takes seconds
        text = _KNOWN_FORMS.sub(REDACTED, text)
    return text.encode("utf-8", "surrogateescape") if isinstance(content, bytes) else text


def _forms() -> list[str]:
    """Every secret as it is and as JSON and URLs write it, the longest first: one may be part of another."""
    secrets = {value for value in (*_of_environment(), *_of_token_files()) if _can_be_told(value)}
    forms = {form for value in secrets for form in (value, json.dumps(value)[1:-1], quote(value, safe=""))}
    return sorted(forms, key=len, reverse=True)


def _can_be_told(value: str) -> bool:
    """Whether the value, wherever it stands, is that secret and no number, word or path."""
    if len(value) < LEAST_CHARACTERS or value.isdecimal() or (value.isalpha() and len(value) < LEAST_LETTERS):
        return False
    return "/" not in value or not os.path.exists(value)


def _of_environment() -> Iterator[str]:
    return (value.strip() for name, value in os.environ.items() if _SECRET_NAME.search(name.upper()))


def _of_token_files() -> Iterator[str]:
    """What huggingface_hub keeps: the token in use, and those stored by name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    token = Path(os.environ.get("HF_TOKEN_PATH") or home / "token")
    for path in (token, token.with_name("stored_tokens")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):  # none there, or none that can be read: then it is in no text either
            continue
        yield from (line.rpartition("=")[2].strip() for line in lines)
