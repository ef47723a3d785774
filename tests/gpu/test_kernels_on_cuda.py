"""Kernels on a real card: every scheme's products against ordinary layers of the same weights, and what torch makes of the card."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.measure.clock import StepClock
from harness.measure.device_trial import DeviceTrial, try_device
from harness.measure.environment import machine
from harness.quantization.kernel_trial import KernelTrial
from harness.quantization.kernels_here import candidates, kernels_here

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def trials() -> list[KernelTrial]:
    return list(kernels_here(machine("cuda")))


def test_every_kernel_computes_what_its_weights_say_or_its_package_is_missing(trials: list[KernelTrial]) -> None:
    assert len(trials) == len(candidates())
    wrong = {str(trial.candidate): trial.reason for trial in trials if trial.reason is not None and not _expected(trial.reason)}
    assert wrong == {}
    assert [trial for trial in trials if trial.error is not None], "at least one kernel was really tried"


def _expected(reason: str) -> bool:
    return reason.startswith(("needs the package", "needs compute capability")) or "float16 alone" in reason


def test_torchao_int4_lies_in_tiles_for_tensor_cores(trials: list[KernelTrial]) -> None:
    found = next(trial for trial in trials if trial.candidate.scheme == "torchao-int4")
    if found.reason is not None:
        pytest.skip(found.reason)
    assert found.computed_by == "Int4TilePackedTo4dTensor"


def test_torch_serves_the_card_and_nvml_sees_this_process_or_says_that_it_does_not() -> None:
    found = try_device("cuda")
    assert isinstance(found, DeviceTrial), found
    assert found.misfit is None
    assert found.architectures
    assert found.flops["float32"] > 1e11
    assert found.nvml_process is None or found.nvml_process > 2**20


def test_the_devices_step_times_are_those_of_a_clock_that_waits() -> None:
    import torch

    left = torch.randn(4096, 4096, device="cuda")
    clock = StepClock("cuda", warmup_steps=2)
    for step in range(12):
        if step == 2:
            torch.cuda.synchronize()
            begun = time.perf_counter()
        clock.start()
        for _ in range(10):
            left @ left
        clock.stop()
    torch.cuda.synchronize()
    waited_ms = 1000 * (time.perf_counter() - begun)
    assert sum(clock.step_ms()[2:]) == pytest.approx(waited_ms, rel=0.25)


def test_models_drawn_on_the_gpu_load_like_any_other(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from harness.models.base import ModelConfig
    from harness.models.load import load_model
    from harness.models.source import cache_folder
    from harness.quantization.base import SCHEMES
    from harness.tasks.base import Head

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    command = [sys.executable, "benchmarks/draw_models.py", "--device", "cuda", "random:tiny-llama=bfloat16"]
    monkeypatch.setenv("PYTHONPATH", str(root), prepend=":")
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = ModelConfig(source="random:tiny-llama", dtype="bfloat16")
    folders = list((tmp_path / "random").glob("tiny-llama-*/"))
    assert len(folders) == 1
    model = load_model(config, Head("causal-lm"), SCHEMES.get("none")(scheme="none"), "cuda", cache_folder())
    assert list((tmp_path / "random").glob("tiny-llama-*/")) == folders, "the drawn one was taken"
    ids = model.generate(torch.tensor([[5, 6, 7]], device="cuda"), max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert ids.shape == (1, 7)
