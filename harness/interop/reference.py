"""From other tools' result files to a reference file: the form of suites/references/*.yaml, which suites name by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.analysis.references import Reference
from harness.errors import DataError, RequestError
from harness.interop.base import IMPORTS, Asked, Import, Imported
from harness.records.json_file import read_json
from harness.records.store import write_atomically
from harness.suite.scalars import SuiteDumper

TABLE = "results"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z")


def import_results(files: Sequence[Path], name: str, folder: Path, asked: Asked) -> tuple[Path, list[str]]:
    """Writes <folder>/<name>.yaml with one table, `results`; returns its path and what of the files is not in it.

    files: results of one tool, or folders of them. Raises RequestError for a name that is no file name, a file that is there already, files
    of no known form or of several, and where nothing in them has a name here; DataError for files that cannot be read.
    """
    path = folder / f"{name}.yaml"
    if not _NAME.match(name):
        raise RequestError(f"--as {name!r}: a reference's name is letters, digits, _ and -")
    if path.exists():
        raise RequestError(f"{path} is there already: name another, or delete it")
    found = [(file, _json(file)) for file in _files(files)]
    imported = _imported(found, asked)
    if not imported.rows:
        raise RequestError(f"no number in {', '.join(map(str, files))} can be used: {'; '.join(imported.left_out) or 'there are none'}")
    write_atomically(path, _yaml(name, imported))
    return path, imported.left_out


def _imported(found: Sequence[tuple[Path, Any]], asked: Asked) -> Imported:
    """What the reader of their form makes of the files: these are another tool's, so anything in them may be missing or of another type."""
    reader = _reader(found)
    try:
        return reader.read(found, asked)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        files = ", ".join(str(path) for path, _ in found[:3])
        raise DataError(f"{files}: not a whole result file: {type(error).__name__}: {error}") from error


def _files(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            inside = sorted(path.rglob("*.json"))
            if not inside:
                raise DataError(f"{path} holds no .json file")
            yield from inside
        else:
            yield path


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error


def _reader(found: Sequence[tuple[Path, Any]]) -> Import:
    """The one reader whose form all files have."""
    readers = {name: cls() for name, cls in IMPORTS.items()}
    forms = {path: next((name for name, reader in readers.items() if reader.reads(values)), None) for path, values in found}
    unknown = [str(path) for path, form in forms.items() if form is None]
    if unknown:
        raise RequestError(f"{unknown[0]} is no result file of {' or '.join(readers)}")
    if len(set(forms.values())) > 1:
        raise RequestError(f"results of several tools at once ({', '.join(sorted(map(str, set(forms.values()))))}): import each under a name of its own")
    return readers[str(next(iter(forms.values())))]


def _yaml(name: str, imported: Imported) -> str:
    table: dict[str, Any] = {"id": TABLE, "caption": imported.caption}
    table |= {"protocol": imported.protocol} if imported.protocol else {}
    table |= {"shares_of_one": True, "rows": [dict(row) for row in imported.rows]}
    source = {"paper": name, "title": imported.title, "url": imported.url, "year": imported.year, "tables": [table]}
    try:
        Reference.model_validate(source)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"the results make no reference: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return yaml.dump(source, Dumper=SuiteDumper, sort_keys=False, allow_unicode=True, width=100_000, default_flow_style=None)
