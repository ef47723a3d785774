"""Files -> columns: parquet, jsonl, json, csv, tsv and txt, each with errors that name the place."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import DataError

LONGEST_FIELD = 2**31 - 1  # characters: the largest limit that the csv module takes on every platform


@dataclass(frozen=True)
class Request:
    """What is wanted of a file.

    choose: names of the file's columns -> those to read, in the order wanted; raises DataError where one is
    missing. limit: read this many rows at most. headerless: names of the columns of a tsv without a header.
    """

    choose: Callable[[list[str]], list[str]]
    limit: int | None = None
    headerless: tuple[str, ...] = ()


def read_columns(path: Path, request: Request) -> list[list[Any]]:
    """The columns chosen, one list of raw values each (strings only, from csv and tsv).

    Raises DataError for a file that cannot be read, decoded or parsed, and for rows of the wrong length.
    """
    try:
        return _READERS[path.suffix.lower()](path, request)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_parquet(path: Path, request: Request) -> list[list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            chosen = request.choose(file.schema_arrow.names)
            if request.limit is None:
                table = file.read(columns=chosen)
            else:
                batches = file.iter_batches(batch_size=request.limit, columns=chosen)
                table = pa.Table.from_batches(islice(batches, 1), _subschema(file.schema_arrow, chosen))
            return [table.column(name).to_pylist() for name in chosen]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file (cut off or damaged?): {_first_line(error)}") from error


def _subschema(schema: Any, names: list[str]) -> Any:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


def _read_jsonl(path: Path, request: Request) -> list[list[Any]]:
    return _from_objects(path, _json_lines(path), request)


def _read_json(path: Path, request: Request) -> list[list[Any]]:
    """A JSON array of objects; or, as pandas and datasets also write under this name, one object a line."""
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return _from_objects(path, _json_lines(path), request)
    try:
        rows = json.loads(text, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    return _from_objects(path, (_object(path, f"row {number}", row) for number, row in enumerate(rows, 1)), request)


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_each_key_once)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not valid JSON: {error}") from error
            yield _object(path, f"line {number}", row)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; raises ValueError for a key that is given twice, of which json would keep the last."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is given twice in one object")
    return row


def _object(path: Path, place: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{path}: {place}: expected a JSON object with the columns as keys, got {type(row).__name__}")
    return row


def _from_objects(path: Path, rows: Iterable[dict[str, Any]], request: Request) -> list[list[Any]]:
    taken = list(islice(rows, request.limit))
    if not taken:
        return []
    chosen = request.choose(list(taken[0]))
    for number, row in enumerate(taken, 1):
        missing = [name for name in chosen if name not in row]
        if missing:
            raise DataError(f"{path}: row {number}: column {missing[0]!r} is missing, which row 1 has")
    return [[row[name] for row in taken] for name in chosen]


def _read_csv(path: Path, request: Request) -> list[list[Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _from_fields(path, _csv_fields(file), request)


def _read_tsv(path: Path, request: Request) -> list[list[Any]]:
    """Quoted only where the file is quoted throughout: GLUE's own files are not, and are full of bare quotes."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    if _QUOTED_TSV.fullmatch(text):
        return _from_fields(path, _csv_fields(_lines(text), delimiter="\t"), request)
    return _from_fields(path, (line.rstrip("\r\n").split("\t") for line in _lines(text)), request)


def _csv_fields(lines: Iterable[str], delimiter: str = ",") -> Iterator[list[str]]:
    csv.field_size_limit(LONGEST_FIELD)  # of the whole process; the module's own, 128 KiB, refuses long texts
    return csv.reader(lines, delimiter=delimiter, strict=True)


# Every field either has no quote in it or is wholly quoted with inner quotes doubled, as all quoting writers do.
_QUOTED_TSV = re.compile(r'(?:(?:"(?:[^"]|"")*+"|[^"\t\r\n]*+)(?:\t|\r?\n|\Z))*+')


def _lines(text: str) -> list[str]:
    # Not splitlines(): that also splits at U+2028, form feeds and the like inside a text.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _from_fields(path: Path, lines: Iterator[list[str]], request: Request) -> list[list[Any]]:
    """Rows of fields, the first being the header unless it looks like data of a headerless file."""
    rows: list[list[str]] = []
    try:
        header = next(lines, [])
        if request.headerless and len(header) == len(request.headerless) and not set(header) & set(request.headerless):
            rows, header = [header], list(request.headerless)
        if not header:
            return []
        indices = [header.index(name) for name in request.choose(header)]
        left = None if request.limit is None else request.limit - len(rows)
        rows.extend(islice((row for row in lines if _holds_fields(row, len(header))), left))
    except csv.Error as error:
        raise DataError(f"{path}: row {len(rows) + 1}: not readable as {path.suffix[1:]}: {error}") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number}: {len(row)} fields, but the header has {len(header)}")
    return [[row[index] for row in rows] for index in indices]


def _read_txt(path: Path, request: Request) -> list[list[Any]]:
    """Lines as the column `text`, without their ends; none of a file that is blank. Joined by line ends they are the file again."""
    text = path.read_text(encoding="utf-8-sig")
    request.choose(["text"])
    return [text.split("\n")[: request.limit] if text.strip() else []]


def _holds_fields(row: list[str], width: int) -> bool:
    """False for a blank line; in a file of one column an empty field is an empty text, not a blank line."""
    return bool(row) if width == 1 else row not in ([], [""])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


_READERS: dict[str, Callable[[Path, Request], list[list[Any]]]] = {
    ".parquet": _read_parquet, ".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".tsv": _read_tsv, ".txt": _read_txt,
}
