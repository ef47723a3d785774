"""Cells whose model is tuned unquantized, merged, and quantized then."""

from __future__ import annotations

from pathlib import Path

import pytest
from lived import AFTERWARDS, TIED, Lived, live

from harness.errors import Unsupported

ONE = "forms: [unmerged]"


@pytest.fixture(scope="module")
def afterwards(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """LoRA on a decoder that is quantized after tuning."""
    return live(tmp_path_factory.mktemp("afterwards"), AFTERWARDS)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The same in the usual order."""
    return live(tmp_path_factory.mktemp("before"), "bnb-nf4", measure=ONE)


def test_the_cell_is_about_the_quantized_model(afterwards: Lived, before: Lived) -> None:
    assert afterwards.phases[-7:] == ["attach", "train", "check", "merge", "quantize", "evaluate", "generate"]
    assert list(afterwards.values) == ["before", "after"]
    assert [latency.form for latency in afterwards.result.latency] == ["unmerged"]
    assert afterwards.result.quantization is not None
    assert afterwards.result.quantization == before.result.quantization
    sizes = afterwards.result.sizes
    assert sizes.model_bytes == before.result.sizes.model_bytes
    assert sizes.merged_bytes is not None
    assert sizes.merged_bytes > 2 * (sizes.model_bytes or 0)
    assert any("merged-requantized: a model that is quantized after tuning" in note for note in afterwards.result.notes)
    assert sorted(path.name for path in afterwards.folder.iterdir()) == ["adapter", "training.jsonl"]


def test_before_tuning_it_is_the_unquantized_model_and_shares_its_evaluation(afterwards: Lived, before: Lived, tmp_path: Path) -> None:
    plain = live(tmp_path, "none", measure=ONE)
    assert plain.values["before"] == afterwards.values["before"] != before.values["before"]
    assert afterwards.values["after"] != plain.values["after"], "quantizing must have changed something"
    shared = live(tmp_path, AFTERWARDS, measure=ONE)
    assert "evaluate" not in shared.phases[: shared.phases.index("train")]
    assert shared.values == afterwards.values


def test_full_tuning_and_then_eight_bits_keep_no_weights(tmp_path: Path) -> None:
    lived = live(tmp_path, "{scheme: bnb-int8, order: tune-then-quantize}", "{method: full, train: {learning_rate: 3e-4}}", measure=ONE)
    assert list(lived.values) == ["before", "after"]
    assert lived.result.quantization is not None
    assert set(lived.result.quantization.kernels) == {"Linear8bitLt"}
    assert not list(lived.folder.rglob("*.safetensors"))


def test_what_turns_out_not_to_merge_on_this_model_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="tied embeddings"):
        live(tmp_path, AFTERWARDS, TIED, measure=ONE)
