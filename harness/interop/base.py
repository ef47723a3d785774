"""What an export and an import are: one file with one registered class adds a tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.analysis.columns import Row
from harness.analysis.run import Run
from harness.errors import RequestError
from harness.registry import Registry


@dataclass(frozen=True)
class Exported:
    """Where an export went, and what of the run is not in it, each in a sentence."""

    paths: list[Path]
    left_out: list[str]


class Export:
    """One form to write. A subclass registers itself under the name that `--to` takes.

    packages: import names of what it needs beside the core; extra: the extra of ours that brings them.
    """

    packages: tuple[str, ...] = ()
    extra: str | None = None

    def require(self) -> None:
        """Raises RequestError that says what to install where a package is missing."""
        missing = [name for name in self.packages if find_spec(name) is None]
        if missing:
            raise RequestError(f"this export needs {', '.join(missing)}, which is not installed: pip install 'harness[{self.extra}]'")

    def write(self, run: Run, out: Path) -> Exported:
        """Writes the run to `out`, a folder or what the form says; raises StorageError, RequestError where nothing can be written."""
        raise NotImplementedError


@dataclass(frozen=True)
class Asked:
    """What the person says of results that their file does not tell. None: the file tells, or nothing is stated."""

    method: str | None = None
    scheme: str | None = None


@dataclass(frozen=True)
class Imported:
    """A table of published numbers as suites/references/*.yaml has them.

    title, url, year: of the source. rows: the printed rows. left_out: what of the file is not in it, each in a sentence.
    """

    title: str
    url: str
    year: int
    caption: str
    protocol: str | None
    rows: Sequence[Mapping[str, Any]]
    left_out: list[str] = field(default_factory=list)


class Import:
    """One form to read. A subclass registers itself."""

    def reads(self, found: Any) -> bool:
        """Whether the JSON value is of this form."""
        raise NotImplementedError

    def read(self, found: Sequence[tuple[Path, Any]], asked: Asked) -> Imported:
        """The numbers of all files, JSON values of this form; raises RequestError where the person must say more, DataError for damage."""
        raise NotImplementedError


EXPORTS: Registry[Export] = Registry("export", "harness.interop", "harness.exports")
IMPORTS: Registry[Import] = Registry("import", "harness.interop", "harness.imports")


def through(run: Run, left_out: list[str]) -> Iterator[Row]:
    """The cells that went through; what became of the others is appended to `left_out`."""
    for row in run.rows:
        if row.ok:
            yield row
        else:
            left_out.append(f"{row.name()} ended {row.record.outcome.status}")
