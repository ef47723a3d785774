"""The fork server dies just when it is to fork: another one takes over, and no cell is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from drill_cells import drill_cell

from harness.runs import forkserver
from harness.runs.executors import local


@pytest.mark.slow
@pytest.mark.parametrize("waited_for", [True, False])
def test_a_server_that_dies_between_the_look_and_the_fork_is_replaced(
    tiny_model: Path, execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, waited_for: bool
) -> None:
    alive, killed = forkserver.alive, []

    def looked_at_for_the_last_time(server: int | None) -> bool:
        found = alive(server)
        if found and not killed:
            killed.append(server)
            os.kill(server, signal.SIGKILL)
            while waited_for and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
                pass
        return found

    monkeypatch.setattr(local.forkserver, "alive", looked_at_for_the_last_time)
    collected = execute([drill_cell(tiny_model, name=name) for name in "abc"])
    assert [execution.outcome.status for execution in collected.ended.values()] == ["ok", "ok", "ok"]
    assert len(collected.started) == 3
