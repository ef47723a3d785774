"""Writes docs/measured.md from results/reference: every figure with its date, driver and versions. No number is written by hand.

    python benchmarks/measured.py [--reference results/reference] [--out docs/measured.md] [--check]

--check: writes nothing; exit code 1 where the page is not what the results make.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measured_tables import Environments, latency_rows, memory_rows, step_rows, table
from reference_results import read_records

from harness.records.store import write_atomically

ROOT = Path(__file__).parents[1]
HEAD = """# What was measured

<!-- Made by `python benchmarks/measured.py` from results/reference/; edit nothing here. -->

Every number on this page was measured by `make gpu-check` ([gpu.md](gpu.md)) and comes from `results/reference/`: models of real shapes with
random weights, which memory and speed do not depend on. A letter behind a figure's date names the driver and the versions it was measured with.
"""
NOTHING = """
**Nothing has been measured on a GPU yet**: `results/reference/` holds no card. Where one is at hand, `make gpu-check` measures, and this page
is made from what it wrote.
"""


def page(reference: Path) -> str:
    """The page for all cards in that folder. Raises HarnessError for a damaged record, OSError, ValueError for a damaged JSON file."""
    cards = [folder for folder in sorted(reference.glob("*/")) if (folder / "environment.json").is_file()]
    if not cards:
        return HEAD + NOTHING
    return HEAD + "".join("\n" + "\n".join(_card(folder)) + "\n" for folder in cards)


def _card(folder: Path) -> Iterator[str]:
    newest = _json(folder / "environment.json") or {}
    yield f"## {newest.get('gpu') or newest.get('cpu') or folder.name}\n"
    yield from _doctor(_json(folder / "doctor.json"), newest)
    environments = Environments()
    for title, suite, rows in (
        ("Step time, tokens per second, memory", "step_times", step_rows),
        ("Latency", "inference_latency", latency_rows),
        ("Memory: what fits", "memory_wall", memory_rows),
    ):
        records = read_records(folder / f"{suite}.jsonl")
        yield f"### {title}\n"
        yield f"`suites/{suite}.yaml`, profile {', '.join(sorted({str(record.cell.profile) for record in records})) or '–'}.\n"
        yield table(rows(records, environments)) if records else "Not measured yet.\n"
    yield "### What the telemetry costs\n"
    yield from _overhead(_json(folder / "telemetry_overhead.json"), environments)
    yield "### The check\n"
    yield from _check(_json(folder / "check.json"))
    yield "### Drivers and versions\n"
    yield from environments.lines()


def _doctor(found: dict[str, Any] | None, newest: dict[str, Any]) -> Iterator[str]:
    """The card as `harness doctor` saw it, with its matrix products."""
    if found is None:
        return
    rows = [row for section in ("device", "torch on the device") for row in found.get(section, [])]
    yield f"As `harness doctor` saw it on {newest['measured'][:10]}:\n"
    yield from (f"- {row['name']}: {row['value']}" for row in rows)
    yield ""


def _overhead(found: dict[str, Any] | None, environments: Environments) -> Iterator[str]:
    if found is None:
        yield "Not measured yet.\n"
        return
    mark = environments.mark_values(found["environment"])
    yield (
        f"Step time with / without the sampler, {found['pairs']} interleaved pairs of {found['seconds']:g} s, a sample every {found['period_ms']:g} ms: "
        f"**{found['ratio']:.4f}** (95 %: {found['lower']:.4f} to {found['upper']:.4f}); the sampler used {100 * found['sampler_share']:.1f} % of one "
        f"core. {found['measured'][:10]} ({mark})\n"
    )


def _check(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "No account of a check is here.\n"
        return
    yield f"Newest: {found['started']}, {found['seconds']:.0f} s.\n"
    tests = found["tests"]
    if tests is not None:
        yield f"- gpu-marked tests, {tests['at']}: {tests['passed']} passed, {len(tests['failed'])} failed, {len(tests['skipped'])} skipped"
        yield from (f"    - failed: `{name}`" for name in tests["failed"])
        yield from (f"    - skipped: `{name}`: {' '.join(why)}" for name, why in tests["skipped"].items())
    yield from (f"- part {part['name']}: {part['status']}, {part['detail']}" for part in found["parts"] if part["status"] != "done")
    for suite, cells in found["suites"].items():
        yield from (f"- {suite}: never measured: {cell}" for cell in cells["never measured"])
        yield from (f"- {suite}: failed: {cell}: {why}" for cell, why in cells["failed now"].items())
    yield ""


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the module's docstring; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=ROOT / "results" / "reference")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "measured.md")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    text = page(given.reference)
    if not given.check:
        write_atomically(given.out, text)
        return 0
    same = given.out.is_file() and given.out.read_text(encoding="utf-8") == text
    if not same:
        print(f"{given.out} is not what {given.reference} makes: run python benchmarks/measured.py", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
