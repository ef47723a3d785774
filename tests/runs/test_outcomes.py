"""From how a process ended to the outcome in its record."""

from __future__ import annotations

import errno
import signal

import pytest
import torch

from harness.errors import DataError, Diverged, OutOfMemory, Unsupported
from harness.runs.outcomes import (
    LONGEST_MESSAGE,
    one_line,
    outcome_of_error,
    outcome_of_exit,
    outcome_of_timeout,
)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        OutOfMemory("the optimizer's states do not fit"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_ran_out_is_oom_however_it_is_said(error: Exception) -> None:
    assert outcome_of_error(error, "train").status == "oom"


def test_an_error_caused_by_memory_is_oom() -> None:
    wrapped = ValueError("the model could not be loaded")
    wrapped.__cause__ = MemoryError()
    assert outcome_of_error(wrapped, "load").status == "oom"


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.ENOSPC, "No space left"), ValueError("out of memory")])
def test_other_errors_are_failures(error: Exception) -> None:
    assert outcome_of_error(error, "train").status == "failed"


def test_our_own_errors_speak_for_themselves_and_others_say_what_they_are() -> None:
    assert outcome_of_error(Unsupported("no such head"), "load").message == "no such head"
    assert outcome_of_error(Diverged("loss is nan"), "train").status == "diverged"
    assert outcome_of_error(DataError("rte.tsv: no column label"), "train").message == "rte.tsv: no column label"
    assert outcome_of_error(KeyError("label"), "train").message == "KeyError: 'label'"
    assert outcome_of_error(AssertionError(), "train").message == "AssertionError"


def test_a_message_is_one_line_that_a_table_can_hold() -> None:
    assert one_line("a\n  b\tc \x1b[31mred\x1b[0m") == "a b c red"
    assert len(one_line("x" * 10_000)) == LONGEST_MESSAGE


@pytest.mark.parametrize(("code", "said"), [(3, "exited with code 3"), (None, "exited with code 0"), ("sorry", "exited with code 1 before the cell was through: sorry")])
def test_sys_exit_says_its_code(code: object, said: str) -> None:
    outcome = outcome_of_error(SystemExit(code), "attach")
    assert outcome.status == "failed"
    assert said in str(outcome.message)


def test_an_exit_without_a_word_is_told_from_its_code() -> None:
    assert outcome_of_exit(-signal.SIGSEGV, "train", oom_killed=False).message == "killed by signal 11 (SIGSEGV)"
    assert outcome_of_exit(-signal.SIGKILL, "train", oom_killed=False).status == "failed"
    assert outcome_of_exit(-signal.SIGKILL, "train", oom_killed=True).status == "oom"
    assert "real-time signal" in str(outcome_of_exit(-40, None, oom_killed=False).message)
    assert "exited with code 0" in str(outcome_of_exit(0, None, oom_killed=False).message)
    assert "fork server" in str(outcome_of_exit(None, "load", oom_killed=False).message)


def test_a_timeout_names_the_key_that_set_the_limit() -> None:
    outcome = outcome_of_timeout("limits.phase_seconds.train", 90.0, "train")
    assert (outcome.status, outcome.phase) == ("timeout", "train")
    assert outcome.message == "took longer than limits.phase_seconds.train: 90 s"
