"""optimum-quanto: bytes by hand, the groups that it chooses itself, and rows that it cannot store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layers import HEADS, loaded, logits, one_layer, relative, scheme

from harness.errors import HarnessError
from harness.needs import Machine, Needs

COMPILED = pytest.mark.slow  # quanto compiles how it unpacks 4 and 2 bits, 80 s on a machine that it has not seen


@pytest.mark.parametrize(("columns", "group"), [(512, 128), (192, 96), (160, 32), (64, 64), (200, 200)])
@pytest.mark.parametrize(("name", "bits", "constants"), [
    ("quanto-int8", 8, 1), ("quanto-float8", 8, 1), pytest.param("quanto-int4", 4, 2, marks=COMPILED), pytest.param("quanto-int2", 2, 2, marks=COMPILED),
])  # fmt: skip
def test_bytes_are_those_of_packed_weights_and_constants(name: str, bits: int, constants: int, columns: int, group: int, tmp_path: Path) -> None:
    """8 bit: a scale per row. Fewer: a scale and a shift per group, the largest of 128, 96, 64, 32 that divides a row longer
    than 128, else the row."""
    of = scheme(name)
    model = loaded(of, one_layer(64, columns, tmp_path), HEADS["decoder"])
    layer = next(layer for layer in of.quantized_layers(model) if layer.name.endswith("o_proj"))
    groups = 64 * (1 if bits == 8 else columns // group)
    assert layer.weights == 64 * columns
    assert layer.bytes == 64 * columns * bits // 8 + groups * constants * 4
    assert layer.kernel == ("WeightQBytesTensor" if bits == 8 else "WeightQBitsTensor")


@COMPILED
def test_four_bits_in_bfloat16_go_through_the_kernel_of_torch(tmp_path: Path) -> None:
    """Chosen by quanto for groups of 128 in bfloat16; scale and shift are two bytes each there."""
    of = scheme("quanto-int4")
    model = loaded(of, one_layer(256, 512, tmp_path), HEADS["decoder"], "bfloat16")
    layer = next(layer for layer in of.quantized_layers(model) if layer.name.endswith("o_proj"))
    assert layer.kernel == "TinyGemmWeightQBitsTensor"
    assert layer.bytes == 256 * 512 // 2 + 256 * 4 * 2 * 2
    found = logits(model)
    assert relative(logits(of.dequantized(model)), found) < 0.03


@COMPILED
def test_more_bits_are_nearer_to_the_weights() -> None:
    exact = logits(loaded(scheme("none"), "encoder"))
    errors = [relative(logits(loaded(scheme(name), "encoder")), exact) for name in ("quanto-int8", "quanto-float8", "quanto-int4", "quanto-int2")]
    assert errors == sorted(errors)


def test_weights_that_come_out_as_no_numbers_are_refused(tmp_path: Path) -> None:
    """float8 divides a row by its largest weight."""
    folder = one_layer(64, 128, tmp_path / "whole")
    model = loaded(scheme("none"), folder, HEADS["decoder"])
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight[3] = 0.0
    model.save_pretrained(tmp_path / "with zeros")
    with pytest.raises(HarnessError, match=r"quanto-float8 makes weights of model\.layers\.0\.self_attn\.o_proj that are no numbers"):
        loaded(scheme("quanto-float8"), tmp_path / "with zeros", HEADS["decoder"])
    assert logits(loaded(scheme("quanto-int8"), tmp_path / "with zeros", HEADS["decoder"])).isfinite().all()


def test_a_package_inside_an_absent_one_is_missing() -> None:
    assert Needs(packages=("optimum.quanto",)).unmet(Machine(), None) is None
    assert "needs the package absent_library.quanto" in str(Needs(packages=("absent_library.quanto",)).unmet(Machine(), None))
