"""The history file: one SQLite database that keeps the numbers of many runs, to see how they go over time.

    environments   what runs were made with: device, driver, packages, commit; each once
    records        one row per record: its run, cell, outcome, times and environment
    numbers        one row per record and quantity: value, stderr, n, protocol
    history        a view that joins the three: one row per run, cell and quantity

A record is known by its cell, the moment it began and the device, so that adding a run twice, or a copy of it, changes nothing. All that one
call adds is one transaction under SQLite's rollback journal: after a kill or a power cut the next reader finds the file as it was before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from harness.errors import DataError, StorageError
from harness.records.schema import Environment, Record

HISTORY_VERSION = 1
APPLICATION_ID = 0x68726E73  # marks the file as ours ("hrns"), beside SQLite's own magic number
PATIENCE_S = 60.0  # how long one waits for another process that is adding a run

_SCHEMA = (
    "CREATE TABLE environments (id INTEGER PRIMARY KEY, facts TEXT NOT NULL UNIQUE)",
    "CREATE TABLE records (id INTEGER PRIMARY KEY, run TEXT NOT NULL, suite TEXT NOT NULL, profile TEXT, cell TEXT NOT NULL, name TEXT NOT NULL, "
    "device TEXT NOT NULL, status TEXT NOT NULL, phase TEXT, started TEXT NOT NULL, finished TEXT NOT NULL, "
    "environment INTEGER NOT NULL REFERENCES environments, UNIQUE (cell, started, device))",
    "CREATE TABLE numbers (record INTEGER NOT NULL REFERENCES records, quantity TEXT NOT NULL, value REAL NOT NULL, stderr REAL, n INTEGER, "
    "protocol TEXT, PRIMARY KEY (record, quantity)) WITHOUT ROWID",
    "CREATE INDEX numbers_by_quantity ON numbers (quantity)",
    "CREATE VIEW history AS SELECT run, suite, profile, cell, name, device, status, started, finished, quantity, value, stderr, n, protocol, facts "
    "FROM numbers JOIN records ON records.id = numbers.record JOIN environments ON environments.id = records.environment",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {HISTORY_VERSION}",
)


@dataclass(frozen=True)
class Number:
    """One number of a record under its address, in the unit that records store."""

    quantity: str
    value: float
    stderr: float | None = None
    n: int | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Entry:
    """One record on its way into the file. run: its run's name. name: the cell in words. device: what it was measured on."""

    record: Record
    run: str
    name: str
    device: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Appended:
    """How many records were added, and how many the file had already."""

    added: int
    known: int


@dataclass(frozen=True)
class Point:
    """One number of one record, read back. facts: what it was made with, name -> version."""

    run: str
    suite: str
    cell: str
    name: str
    device: str
    started: datetime
    value: float
    stderr: float | None
    n: int | None
    protocol: str | None
    facts: Mapping[str, str]


def facts_of(environment: Environment) -> dict[str, str]:
    """What may move a number, as name -> version: gpu, driver, cuda, python, harness, commit, and every package. What is not known is left out."""
    named = {name: getattr(environment, name) for name in ("gpu", "driver", "cuda", "cpu", "python", "harness", "platform")}
    commit = environment.git and environment.git.commit + (" with changes" if environment.git.dirty else "")
    return {name: str(value) for name, value in {**named, "commit": commit, **environment.packages}.items() if value is not None}


def check_history(file: Path) -> None:
    """Raises DataError where the file is there and is no history that this harness reads; what is not there yet, or empty, can be made."""
    if file.exists():
        with _opened(file) as connection:
            if not _is_empty(connection):
                _check(connection, file)


def append(file: Path, entries: Iterable[Entry]) -> Appended:
    """Adds those records that the file does not have, all or none; makes the file where there is none.

    entries: read while the transaction is open. Raises DataError for a file that is no history of this version, StorageError where it
    cannot be written, or another process has been writing for a minute.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()  # SQLite does not say why it cannot open one
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error
    with _opened(file, "rwc") as connection:
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(connection):
            for statement in _SCHEMA:
                connection.execute(statement)
        _check(connection, file)
        added = [_add(connection, entry) for entry in entries]
        connection.execute("COMMIT")
    return Appended(sum(added), len(added) - sum(added))


def read_points(file: Path, quantity: str) -> list[Point]:
    """Every measurement of that quantity, the oldest first; raises DataError for a file that is no history of this version."""
    if not file.exists():
        raise DataError(f"there is no history file {file}; harness run SUITE --history {file} makes it, and so does harness history add RUN {file}")
    columns = "run, suite, cell, name, device, started, value, stderr, n, protocol, facts"
    with _opened(file) as connection:
        _check(connection, file)
        found = connection.execute(f"SELECT {columns} FROM history WHERE quantity = ? AND status = 'ok' ORDER BY started, cell", (quantity,))
        return [
            Point(run, suite, cell, name, device, datetime.fromisoformat(started), value, stderr, n, protocol, json.loads(facts))
            for run, suite, cell, name, device, started, value, stderr, n, protocol, facts in found
        ]


def quantities_in(file: Path) -> list[str]:
    """The addresses of all numbers in the file, sorted."""
    with _opened(file) as connection:
        _check(connection, file)
        return [row[0] for row in connection.execute("SELECT DISTINCT quantity FROM numbers ORDER BY quantity")]


def _add(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether the record was new and is in the file now."""
    record, cell = entry.record, entry.record.cell
    facts = json.dumps(facts_of(record.environment), sort_keys=True)
    connection.execute("INSERT INTO environments (facts) VALUES (?) ON CONFLICT DO NOTHING", (facts,))
    inserted = connection.execute(
        "INSERT INTO records (run, suite, profile, cell, name, device, status, phase, started, finished, environment) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, id FROM environments WHERE facts = ? ON CONFLICT DO NOTHING",
        (
            entry.run, cell.suite, cell.profile, cell.id, entry.name, entry.device, record.outcome.status, record.outcome.phase,
            record.started.isoformat(), record.finished.isoformat(), facts,
        ),
    )  # fmt: skip
    if inserted.rowcount == 0:
        return False
    connection.executemany(
        "INSERT INTO numbers (record, quantity, value, stderr, n, protocol) VALUES (?, ?, ?, ?, ?, ?)",
        [(inserted.lastrowid, number.quantity, number.value, number.stderr, number.n, number.protocol) for number in entry.numbers],
    )
    return True


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _pragma(connection, "application_id") == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def _check(connection: sqlite3.Connection, file: Path) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise DataError(f"{file} is no history of harness; name a file of its own for it")
    version = _pragma(connection, "user_version")
    if version != HISTORY_VERSION:
        raise DataError(f"{file} is of version {version}, and this harness reads version {HISTORY_VERSION} only; update harness, or name another file")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def _opened(file: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """A connection without implicit transactions. Readers too ask for `rw`: whoever comes first after a kill has to roll back."""
    address = f"file:{quote(str(file.resolve()))}?mode={mode}"
    try:
        with closing(sqlite3.connect(address, timeout=PATIENCE_S, isolation_level=None, uri=True)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
    except sqlite3.OperationalError as error:
        raise StorageError(f"cannot use the history {file}: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # damage may lie in sqlite's own words about it
        raise DataError(f"{file} is no history of harness: {error}") from error
