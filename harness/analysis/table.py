"""What a table is before it is printed: entries with their text, their numbers and their marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.analysis.statistics import Sample
from harness.quantities import Quantity

MISSING = "–"


@dataclass(frozen=True)
class Entry:
    """One place of a table. marks: footnote marks. sample: the numbers behind the text, None where there are none."""

    text: str
    sample: Sample | None = None
    marks: tuple[str, ...] = ()
    best: bool = False


@dataclass(frozen=True)
class Column:
    """One column. names: it names the row and measures nothing. unit: of the numbers behind the texts."""

    label: str
    names: bool = False
    unit: str | None = None


@dataclass(frozen=True)
class Table:
    """A table to print. name: its file name. notes: sentences below it. footnotes: mark -> what it means."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    footnotes: dict[str, str] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """The columns' labels."""
        return [column.label for column in self.columns]


def name_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    """Columns that name a row."""
    return tuple(Column(label, names=True) for label in labels)


def entries(texts: Sequence[str]) -> tuple[Entry, ...]:
    """A row of plain texts."""
    return tuple(Entry(text) for text in texts)


def show_sample(sample: Sample | None, quantity: Quantity, with_n: bool = True) -> str:
    """`mean ± std (n=3)` as a person reads it; `value [low, high]` for one whose interval is known; the value alone for one whose
    is not, or for a count that is always the same; `–` for none."""
    if sample is None:
        return MISSING
    text = quantity.show(sample.mean)
    if quantity.exact and not sample.std:
        return text
    if sample.std is None:
        interval = sample.interval()
        return text if interval is None else f"{text} [{quantity.show(interval.low)}, {quantity.show(interval.high)}]"
    text = f"{text} ± {quantity.show(sample.std)}"
    return f"{text} (n={sample.n})" if with_n else text
