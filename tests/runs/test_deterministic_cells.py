"""`deterministic: true` in a cell's own process: what has no deterministic form is refused, and said so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from collected import Collected
from drill_cells import drill_cell

from harness.runs.determinism import refused_operation


def deterministic(cell: Any) -> Any:
    return replace(cell, id=f"{cell.id}-deterministic", config=replace(cell.config, deterministic=True))


def test_an_operation_without_a_deterministic_form_makes_only_deterministic_cells_unsupported(
    tiny_model: Path, execute: Callable[..., Collected]
) -> None:
    free = drill_cell(tiny_model, "undetermined")
    collected = execute([free, deterministic(free), deterministic(drill_cell(tiny_model))])
    ended = collected.ended
    assert ended[free.id].outcome.status == "ok"
    refused = ended[f"{free.id}-deterministic"].outcome
    assert (refused.status, refused.phase) == ("unsupported", "attach")
    assert refused.message == (
        "deterministic: true, and torch has no deterministic form of put_ on this device; leave `deterministic` out, or choose another method or scheme"
    )
    fine = ended["nothing-x-deterministic"]
    assert fine.outcome.status == "ok"
    assert any(note.startswith("deterministic: torch's deterministic algorithms on ") for note in fine.result.notes)


@pytest.mark.slow
def test_cuda_is_told_before_it_starts_and_every_generator_is_seeded() -> None:
    """In a process of its own: the settings hold for all that follows in it."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == [":4096:8", "1", "True", "True", "False", "False", "True"]


PROGRAM = """
import os, random, numpy, torch
from harness.runs.determinism import make_deterministic

def drawn():
    make_deterministic(7)
    return random.random(), float(numpy.random.rand()), float(torch.rand(1))

same = drawn() == drawn()
print(os.environ["CUBLAS_WORKSPACE_CONFIG"], os.environ["FLASH_ATTENTION_DETERMINISTIC"])
print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.cuda.is_initialized(), same)
"""


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("put_ does not have a deterministic implementation, but you set x")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert refused_operation(error) is None
