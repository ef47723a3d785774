"""What the reliability tests share: a ledger of what was tried and what survived, of which docs/reliability.md is made."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes figures that a test counted, after its asserts: ledger(area=, check=, tried=, survived=, seconds=, note=).

    One JSON file per call where $HARNESS_RELIABILITY names a folder; nothing otherwise.
    """
    folder = os.environ.get("HARNESS_RELIABILITY")

    def note(*, area: str, check: str, tried: int, survived: int, seconds: float | None = None, note: str | None = None) -> None:
        if folder is None:
            return
        entry = {
            "area": area,
            "check": check,
            "tried": tried,
            "survived": survived,
            "seconds": None if seconds is None else round(seconds, 1),
            "note": note,
            "test": request.node.nodeid,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        Path(folder, f"{uuid.uuid4().hex}.json").write_text(json.dumps(entry), encoding="utf-8")

    return note
