"""The probe of matrix products."""

from __future__ import annotations

import pytest
import torch

from harness.measure.matmul_probe import DTYPES, measured_flops


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_cpu_multiplies_at_a_rate_that_a_cpu_can_have(dtype: str) -> None:
    rate = measured_flops("cpu", dtype, seconds=0.02)
    assert 1e6 < rate < 1e15


def test_a_dtype_that_is_no_floating_point_number_is_refused() -> None:
    with pytest.raises(ValueError, match="float32, float16, bfloat16"):
        measured_flops("cpu", "int8")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_card_reaches_a_good_part_of_its_peak_and_not_more(dtype: str) -> None:
    from harness.measure.cards import card_of

    card = card_of(torch.cuda.get_device_name())
    if card is None:
        pytest.skip("the card is not in the table")
    names = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    peak = {str(name): rate for name, rate in card.peaks.items()}.get(names[dtype])
    if peak is None:
        pytest.skip(f"the card has no fast products in {dtype}")
    assert 0.2 < measured_flops("cuda", dtype) / peak < 1.1
