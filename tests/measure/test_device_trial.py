"""What torch makes of the device: which builds serve which cards, and the trial itself on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.measure.device_trial import DeviceTrial, architecture_misfit, try_device

BUILD = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "compute_90"]


@pytest.mark.parametrize(
    ("architectures", "capability"),
    [
        (BUILD, (8, 0)),
        (BUILD, (8, 9)),  # machine code of 8.6 serves 8.9
        (BUILD, (9, 0)),
        (BUILD, (12, 0)),  # compiled by the driver from compute_90
        (["sm_100"], (10, 3)),
        (["sm_90a"], (9, 0)),
    ],
)
def test_a_build_serves_cards_of_its_own_generation_and_newer_ones_through_ptx(architectures: list[str], capability: tuple[int, int]) -> None:
    assert architecture_misfit(architectures, capability) is None


@pytest.mark.parametrize(("architectures", "capability"), [(BUILD, (7, 0)), (["sm_80", "sm_86"], (9, 0)), (["sm_90a"], (9, 1)), ([], (9, 0)), (["gfx90a"], (9, 0))])
def test_a_card_that_no_architecture_serves_is_told_with_what_there_is(architectures: list[str], capability: tuple[int, int]) -> None:
    told = architecture_misfit(architectures, capability)
    assert told is not None
    assert ".".join(map(str, capability)) in told
    assert (", ".join(architectures) or "no card") in told


def test_on_a_cpu_matrix_products_are_timed_in_a_process_of_its_own() -> None:
    found = try_device("cpu")
    assert isinstance(found, DeviceTrial), found
    assert set(found.flops) == {"float32", "bfloat16"}
    assert all(1e7 < flops < 1e15 for flops in found.flops.values())
    assert (found.bfloat16, found.nvml_process) == (None, None)


def test_a_torch_that_cannot_be_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.13 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert try_device("cpu") == "ImportError: libcudart.so.13 is missing"
