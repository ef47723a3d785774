"""Pins, their hashes, licences and the audit: each file says what is installed, and the audit stops for findings alone."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

import audited
import licences
import lock

PINNED = lock.pins(lock.PINS.read_text(encoding="utf-8"))


def test_every_pin_has_a_hash_and_the_lock_has_nothing_else() -> None:
    locked = lock.locked(lock.LOCK.read_text(encoding="utf-8"))
    assert set(locked) == set(PINNED)
    assert [pin for pin, hashes in locked.items() if not hashes] == []
    assert lock.render(PINNED, locked) == lock.LOCK.read_text(encoding="utf-8"), "as ci/lock.py writes it"


def test_what_is_installed_is_what_is_pinned() -> None:
    """Of the packages that are installed here; an environment that was made otherwise is told where it differs."""
    differ = {}
    for name, pinned in PINNED:
        try:
            installed = version(name).split("+")[0]
        except PackageNotFoundError:
            continue
        if installed != pinned:
            differ[name] = f"{installed} is installed, {pinned} pinned"
    assert differ == {}


def test_every_direct_dependency_is_pinned_or_an_extra_that_the_tests_do_not_install() -> None:
    unpinned = {name: extra for name, extra in licences.direct().items() if name not in dict(PINNED)}
    assert set(unpinned.values()) <= {"coco-metrics", "mlflow", "wandb"}


def test_the_page_of_licences_says_what_installed_direct_dependencies_say() -> None:
    listed = licences.rows(licences.PAGE.read_text(encoding="utf-8"))
    assert set(listed) == {name for name, _ in PINNED} | set(licences.direct())
    for name in licences.direct():
        try:
            version(name)
        except PackageNotFoundError:
            continue
        assert licences.row(name, "", {}) == listed[name], "run ci/licences.py"


def test_a_lock_is_read_as_it_was_written_and_needs_a_hash_for_every_pin() -> None:
    pinned = lock.pins("# a comment\nTyping_Extensions==4.16.0\nb.c==1.0+cpu ; x\n")
    assert pinned == [("typing-extensions", "4.16.0"), ("b-c", "1.0+cpu")]
    hashes = {pinned[0]: ["a" * 64, "0" * 64], pinned[1]: ["b" * 64]}
    text = lock.render(pinned, hashes)
    assert "typing-extensions==4.16.0 \\\n    --hash=sha256:" + "0" * 64 in text
    assert lock.locked(text) == {pinned[0]: ["0" * 64, "a" * 64], pinned[1]: ["b" * 64]}
    with pytest.raises(KeyError):
        lock.render([("d", "2")], hashes)


SAFE = {"name": "jinja2", "version": "3.1.6", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}
HOLED = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": "a hole"}]}


@pytest.mark.parametrize(
    ("dependencies", "code", "lines"),
    [
        (None, 0, ["not audited: pip-audit could not be installed, or could ask nobody"]),
        ([SAFE], 0, ["1 dependencies audited, 0 known vulnerabilities"]),
        ([SKIPPED], 0, [f"not audited: 1 of 1, the first because: {SKIPPED['skip_reason']}", "0 dependencies audited, 0 known vulnerabilities"]),
        ([SAFE, HOLED], 1, ["old 1.0: PYSEC-2026-1, mended in 1.1", "2 dependencies audited, 1 known vulnerabilities"]),
    ],
)
def test_the_audit_stops_for_findings_and_says_what_was_not_audited(tmp_path: Path, dependencies: Any, code: int, lines: list[str]) -> None:
    found = tmp_path / "found.json"
    if dependencies is not None:
        found.write_text(json.dumps({"dependencies": dependencies, "fixes": []}), encoding="utf-8")
    assert audited.verdict(found) == (code, lines)
