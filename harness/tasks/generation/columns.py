"""Columns of data-to-text sets: references, and triples of subject, relation and object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.tasks.rows.columns import Column, WrongValue, from_text


@dataclass(frozen=True)
class References(Column):
    """A list of texts, possibly of none: GEM's training splits have their only one in `target`."""

    @property
    def expected(self) -> str:
        return "a list of texts"

    def parse(self, value: Any) -> list[str]:
        items = from_text(value) if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise WrongValue(f"expected {self.expected}")
        return items


@dataclass(frozen=True)
class Triples(Column):
    """A list of triples: each three texts, or one text with ` | ` between the three (GEM/web_nlg). Parsed to lists of three."""

    @property
    def expected(self) -> str:
        return "a list of triples (subject, relation, object)"

    def parse(self, value: Any) -> list[list[str]]:
        items = from_text(value) if isinstance(value, str) else value
        if not isinstance(items, list) or not items:
            raise WrongValue(f"expected {self.expected}")
        triples = [item.split(" | ") if isinstance(item, str) else item for item in items]
        for triple in triples:
            if not isinstance(triple, list) or len(triple) != 3 or not all(isinstance(part, str) for part in triple):
                raise WrongValue(f"no triple: {triple!r}; expected {self.expected}")
        return [[part.strip() for part in triple] for triple in triples]
