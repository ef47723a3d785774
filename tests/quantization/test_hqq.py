"""hqq: bits and bytes by hand, the two axes, what it cannot pack."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest
from layers import HEADS, loaded, logits, one_layer, relative, scheme
from pydantic import ValidationError

from harness.models.sizes import model_bytes
from harness.quantization.half_quadratic import Hqq


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("nbits", "axis", "group_size"), [(2, 1, 64), (3, 1, 64), (4, 1, 64), (8, 1, 64), (4, 0, 32), (3, 0, 64), (4, 1, None)])
def test_bytes_are_those_of_packed_weights_scales_and_zeros(nbits: int, axis: int, group_size: int | None, dtype: str, tmp_path: Path) -> None:
    """3 bit: ten to an int32 along the groups' first dimension, filled up to tens."""
    rows, columns = 256, 512
    of = scheme(f"hqq-{nbits}bit", axis=axis, group_size=group_size)
    model = loaded(of, one_layer(rows, columns, tmp_path), HEADS["decoder"], dtype)
    layer = next(layer for layer in of.quantized_layers(model) if layer.name.endswith("o_proj"))
    group = group_size or columns
    groups = rows * columns // group
    long, wide = (groups, group) if axis == 1 else (group, groups)
    packed = 4 * ceil(long / 10) * wide if nbits == 3 else rows * columns * nbits // 8
    assert (layer.weights, layer.kernel) == (rows * columns, "HQQLinear")
    assert layer.bytes == packed + 2 * groups * (4 if dtype == "float32" else 2)
    embeddings = model.get_input_embeddings().weight
    beside = 2 * embeddings.nbytes + 3 * rows * embeddings.element_size() + sum(buffer.nbytes for buffer in model.buffers())
    assert model_bytes(model) == sum(found.bytes for found in of.quantized_layers(model)) + beside


def test_more_bits_and_smaller_groups_are_nearer_to_the_weights() -> None:
    exact = logits(loaded(scheme("none"), "decoder"))
    errors = [relative(logits(loaded(scheme(name, group_size=group), "decoder")), exact) for name, group in
              (("hqq-8bit", 64), ("hqq-4bit", 16), ("hqq-4bit", 64), ("hqq-3bit", 64), ("hqq-2bit", 64))]  # fmt: skip
    assert errors == sorted(errors)


def test_each_axis_fits_other_sizes() -> None:
    """The packing lays the first half of the groups beside the second: an odd number of groups would be packed wrongly."""
    along_rows, along_columns = scheme("hqq-4bit"), scheme("hqq-4bit", axis=0)
    assert isinstance(along_rows, Hqq)
    assert isinstance(along_columns, Hqq)
    assert along_rows.misfit(128, 100) is None
    assert "columns of 100" in str(along_columns.misfit(128, 100))
    assert along_columns.misfit(100, 128) is None
    assert "its 3 groups cannot be packed 2 to a byte" in str(along_rows.misfit(64, 3))
    eight_bits = scheme("hqq-8bit")
    assert isinstance(eight_bits, Hqq)
    assert eight_bits.misfit(64, 3) is None


def test_biases_stay_parameters() -> None:
    model = loaded(scheme("hqq-4bit"), "encoder")
    assert "bert.encoder.layer.0.attention.self.query.bias" in dict(model.named_parameters())


@pytest.mark.parametrize("group_size", [4, 60])
def test_groups_are_multiples_of_eight(group_size: int) -> None:
    with pytest.raises(ValidationError, match="group_size"):
        scheme("hqq-4bit", group_size=group_size)
