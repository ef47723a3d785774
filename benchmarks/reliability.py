"""Runs the reliability tests, the slow ones too, and writes what they counted: results/reliability.jsonl and docs/reliability.md.

    python benchmarks/reliability.py [--only EXPRESSION] [--check]

How much is tried is set by environment variables that the tests name (HARNESS_KILLS=100, HARNESS_FUZZ_CASES=20000, ...).
--only: pytest's -k; lines of tests that did not run stay as they are. --check: runs nothing and writes nothing; exit code
1 where the page is not what the figures make.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.records.store import write_atomically

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "results" / "reliability.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
HEAD = """# Reliability: what was tried, and what survived

<!-- Made by `python benchmarks/reliability.py`; edit nothing here. -->

Every line is a test under `tests/reliability/` that did the real thing, with the figures that the test itself counted. *Survived* counts what
went as the harness promises: finished records whole and none repeated, a clear outcome or error, nothing left behind. Seconds are those of
the machine named by the date, beside other work; read them as an order of magnitude.
"""


def page(entries: Iterable[dict[str, Any]]) -> str:
    """The page of these figures, one table per area."""
    areas = groupby(sorted(entries, key=lambda entry: (entry["area"], entry["check"])), key=lambda entry: entry["area"])
    return HEAD + "".join("\n" + "\n".join(_area(area, lines)) + "\n" for area, lines in areas)


def _area(area: str, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f"## {area[0].upper()}{area[1:]}\n"
    yield "| what was done | tried | survived | s | date | note | test |"
    yield "|---|---:|---:|---:|---|---|---|"
    for entry in entries:
        seconds = "–" if entry["seconds"] is None else f"{entry['seconds']:.1f}"
        name = entry["test"].split("::")[-1]
        yield (
            f"| {entry['check']} | {entry['tried']:,} | {entry['survived']:,} | {seconds} | {entry['measured'][:10]} | "
            f"{entry['note'] or ''} | `{name}` |"
        )


def kept(path: Path) -> list[dict[str, Any]]:
    """The figures in that file; none where there is no file. Raises ValueError for a damaged one."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def measured(only: str | None) -> tuple[int, list[dict[str, Any]]]:
    """Pytest's exit code, and what the tests noted."""
    chosen = ["-k", only] if only else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "tests/reliability", "-m", "slow or not slow", "--timeout", "14400", *chosen]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "HARNESS_RELIABILITY": folder}, check=False)
        return done.returncode, [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")]


def merged(old: Iterable[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Old figures, those of tests that noted new ones replaced."""
    again = {entry["test"] for entry in new}
    entries = [*(entry for entry in old if entry["test"] not in again), *new]
    return sorted(entries, key=lambda entry: (entry["area"], entry["check"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the module's docstring; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    if given.check:
        return 0 if PAGE.read_text(encoding="utf-8") == page(kept(FIGURES)) else 1
    code, new = measured(given.only)
    entries = merged(kept(FIGURES), new)
    write_atomically(FIGURES, "".join(json.dumps(entry) + "\n" for entry in entries))
    write_atomically(PAGE, page(entries))
    return code


if __name__ == "__main__":
    sys.exit(main())
