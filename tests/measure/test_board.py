"""The board between a cell's process and its sampler's."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import pytest
from measured_processes import MIB

from harness.measure.board import Board, Shown
from harness.measure.meter import PhaseMeter
from harness.measure.phases import PhaseReading


def write(board: Board, steps: int) -> None:
    """In a process of its own."""
    for step in range(1, steps + 1):
        board.step(step)


def read(board: Board, started: Any, seen: Any) -> None:
    """In a process of its own: the numbers that it finds, until the last."""
    started.set()
    found, deadline = [0], time.monotonic() + 60
    while found[-1] != 50_000 and time.monotonic() < deadline:
        step = board.read().step
        if step is not None and step != found[-1]:
            found.append(step)
    seen.send(found)


def test_processes_see_one_board_and_no_number_half_written() -> None:
    context = multiprocessing.get_context("spawn")  # a fork server of the test's would stay, without the harness' imports, for all tests after it
    board = Board.shared(context, "cpu")
    told, seen = context.Pipe(duplex=False)
    started = context.Event()
    reader = context.Process(target=read, args=(board, started, seen))
    reader.start()
    assert started.wait(60)
    writer = context.Process(target=write, args=(board, 50_000))
    writer.start()
    found = told.recv()
    assert found[-1] == 50_000
    assert found == sorted(found)
    assert board.read() == Shown(50_000, None, None)
    for process in (reader, writer):
        process.join(60)
        assert process.exitcode == 0


def test_the_step_stands_while_training_goes_on_around_a_phase_and_not_in_the_next_one() -> None:
    board = Board("cpu")
    meter = PhaseMeter("cpu", lambda phase, at: None, lambda reading: None, board)
    assert board.read() == Shown(None, None, None)
    with meter.phase("train"):
        board.step(3)
        with meter.phase("evaluate_dev"):
            assert board.read().step == 3
        assert board.read().step == 3
    with meter.phase("evaluate"):
        assert board.read().step is None


@pytest.mark.gpu
def test_on_cuda_the_board_shows_what_torch_holds_without_a_synchronisation() -> None:
    import torch

    board, readings = Board("cuda"), list[PhaseReading]()
    torch.zeros(1, device="cuda")
    with PhaseMeter("cuda", lambda phase, at: None, readings.append, board).phase("load"):
        block = torch.empty(100 * MIB, dtype=torch.uint8, device="cuda")
        torch.cuda._sleep(500_000_000)
        board.show_torch()
        assert not torch.cuda.current_stream().query(), "the device is still at work"
        shown = board.read()
    assert shown.torch_allocated == torch.cuda.memory_allocated()
    assert shown.torch_reserved == torch.cuda.memory_reserved()
    assert (shown.torch_reserved or 0) >= (shown.torch_allocated or 0) >= 100 * MIB
    del block
