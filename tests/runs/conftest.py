"""A tiny model, and the local executor in a directory of the test's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from collected import Collected
from drill_cells import write_model

from harness.runs.executors.base import Work
from harness.runs.executors.local import LocalExecutor
from harness.runs.stop import Stop


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that loads in no time."""
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def execute(tmp_path: Path) -> Callable[..., Collected]:
    """Runs cells in processes of their own under tmp_path and returns what was reported."""

    def run(cells: Sequence[Any], jobs: int = 1, when: Any = None, stop: Stop | None = None) -> Collected:
        collected = Collected(when)
        LocalExecutor().run(Work(cells, tmp_path, "cpu", jobs), collected, stop or Stop())
        return collected

    return run
