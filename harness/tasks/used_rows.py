"""Which rows a cell read: their number and a hash of their content, and how many it evaluates that it was also trained on."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from harness.records.schema import DataUse

Role: TypeAlias = Literal["training", "dev", "evaluation", "shots"]
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class _Seen:
    """Rows read together. exact, normalised: a digest of what each row asks, None where a row asks nothing."""

    rows: int
    sha256: str
    exact: list[bytes | None]
    normalised: list[bytes | None]
    revision: str | None


@dataclass
class UsedRows:
    """What has been read so far, each (role, task, split) of a reader once, however often it reads it."""

    _seen: dict[tuple[Role, str, str, str], _Seen] = field(default_factory=dict)

    def see(
        self, role: Role, task: str, split: str, columns: Mapping[str, Sequence[Any]], asked: Iterable[str], revision: str | None = None, reader: str = ""
    ) -> None:
        """Notes rows by their columns. asked: what each row asks (its input without the answer), in the same order. revision: the
        commit of the hub data set that they are from. reader: what tells tasks of one name apart, which may read other data."""
        if (role, task, split, reader) in self._seen:
            return
        texts = list(asked)
        exact = [_digest(text) if text.strip() else None for text in texts]
        normalised = [_digest(plain) if (plain := normalised_text(text)) else None for text in texts]
        self._seen[role, task, split, reader] = _Seen(len(texts), _content(columns), exact, normalised, revision)

    def uses(self) -> list[DataUse]:
        """What was read, for the record, the same rows once; of rows evaluated also how many of them were trained on."""
        trained_on = [seen for (role, *_), seen in self._seen.items() if role == "training"]
        exact = {digest for seen in trained_on for digest in seen.exact} - {None}
        normalised = {digest for seen in trained_on for digest in seen.normalised} - {None}
        uses: list[DataUse] = []
        for (role, task, split, _), seen in self._seen.items():
            use = DataUse(role=role, task=task, split=split, rows=seen.rows, sha256=seen.sha256, revision=seen.revision)
            if trained_on and role in ("evaluation", "dev"):
                use.trained_on = sum(digest in exact for digest in seen.exact)
                use.trained_on_normalised = sum(digest in normalised for digest in seen.normalised)
            if use not in uses:
                uses.append(use)
        return uses


def normalised_text(text: str) -> str:
    """The words of a text alone: compatibility forms folded, lower case, everything but letters and digits a blank."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in folded).split())


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _content(columns: Mapping[str, Sequence[Any]]) -> str:
    """One hash over all rows, column by column, in their order."""
    content = hashlib.sha256()
    for name in sorted(columns):
        content.update(json.dumps([name, list(columns[name])], ensure_ascii=False, default=str).encode(errors="surrogatepass"))
    return content.hexdigest()
