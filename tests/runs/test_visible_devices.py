"""Which cards a cell may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure.board import Board
from harness.runs.worker import Order, visible_devices


@pytest.mark.parametrize(
    ("variable", "seen"),
    [(None, "0"), ("1", "1"), ("3,1", "3"), (" GPU-aaaa2222 ,GPU-bbbb", "GPU-aaaa2222"), ("MIG-1234", "MIG-1234"), ("", "")],
)
def test_of_several_cards_a_cell_sees_the_first_alone(variable: str | None, seen: str) -> None:
    environ = {"HOME": "/root"} | ({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable})
    assert visible_devices(Order(b"", Path(), "cuda", Path(), environ, Board())) == {"CUDA_VISIBLE_DEVICES": seen}
    assert visible_devices(Order(b"", Path(), "cpu", Path(), environ, Board())) == {}, "what is not used is not hidden either"
