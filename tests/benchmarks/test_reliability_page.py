"""The page on reliability is what the tests' figures make, and figures of tests that did not run again stay."""

from __future__ import annotations

from typing import Any

import reliability


def entry(check: str, **fields: Any) -> dict[str, Any]:
    """What a test notes."""
    values = {"area": "kills", "check": check, "tried": 1000, "survived": 999, "seconds": 61.25, "note": None, "test": f"t.py::{check}", "measured": "2026-11-22T00:00:00+00:00"}
    return values | fields


def test_the_page_is_what_the_figures_make() -> None:
    assert reliability.main(["--check"]) == 0


def test_a_line_has_what_was_tried_and_what_survived() -> None:
    assert "| SIGKILL | 1,000 | 999 | 61.2 | 2026-11-22 |  | `SIGKILL` |" in reliability.page([entry("SIGKILL")]).splitlines()


def test_new_figures_replace_those_of_the_same_test_alone() -> None:
    old = [entry("SIGKILL"), entry("SIGINT"), entry("SIGKILL twice", test="t.py::SIGKILL")]
    assert reliability.merged(old, [entry("SIGKILL", tried=5)]) == [entry("SIGINT"), entry("SIGKILL", tried=5)]
