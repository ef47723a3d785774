"""Kernels that are really tried: what computes right here, and what is said of one that does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.needs import Machine
from harness.quantization import kernels_here as here
from harness.quantization.base import SCHEMES
from harness.quantization.kernel_trial import Candidate, try_kernel
from harness.quantization.kernels_here import candidates, kernels_here, stand_in

CPU = Machine("cpu")


def test_every_scheme_is_tried_stood_in_for_or_named_as_not_tried() -> None:
    tried = {candidate.scheme for candidate in candidates()}
    left_out = {name for name in SCHEMES.names() if stand_in(name) not in tried}
    assert left_out == {*here.SKIPPED, *here.COMPILED_SCHEMES}
    for name in here.COMPILED_SCHEMES:
        assert name in here.not_tried()
    assert {candidate.kernel for candidate in candidates(["gptq-3bit"])} == {"torch", "triton"}


def test_wrong_products_are_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes

    right = bitsandbytes.nn.Linear4bit.forward
    monkeypatch.setattr(bitsandbytes.nn.Linear4bit, "forward", lambda layer, x: right(layer, x) * 1.5)
    found = try_kernel(Candidate("bnb-nf4"), "cpu", "float32", tmp_path)
    assert found.reason is not None
    assert found.reason.startswith("its products are wrong: relative error")


@pytest.mark.slow
def test_a_trial_that_ends_its_process_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gptqmodel").mkdir()
    (tmp_path / "gptqmodel" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    found = {str(trial.candidate): trial for trial in kernels_here(CPU, ["rtn-4bit", "bnb-nf4", "bnb-int8"])}
    assert found["rtn-4bit, kernel triton"].reason == "needs a CUDA device"
    assert found["rtn-4bit, kernel torch"].reason == "ended its process with signal 11"
    for name, computed_by, rounding in (("bnb-nf4", "Linear4bit", 1e-3), ("bnb-int8", "Linear8bitLt", 0.05)):
        assert (found[name].reason, found[name].computed_by) == (None, computed_by)
        assert found[name].error is not None
        assert found[name].error < rounding


@pytest.mark.slow
def test_every_kernel_that_needs_no_gpu_computes_here() -> None:
    wrong = {str(trial.candidate): trial.reason for trial in kernels_here(CPU) if trial.reason not in (None, "needs a CUDA device")}
    assert wrong == {}


def test_a_trial_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = list(kernels_here(CPU, ["bnb-nf4"], seconds=3))
    assert [trial.reason for trial in found] == ["gave no answer in 3 s"]
