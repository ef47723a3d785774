"""The simulated scheme: quantized once, restored into a loaded model, on every family; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jobs import default_head, job, model_config, scheme
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

from harness.errors import HarnessError, Unsupported
from harness.micro import model_path
from harness.models.dissect import anatomy_of
from harness.models.load import head_modules, load_model
from harness.models.sizes import model_bytes
from harness.quantization.rounding import Rounding
from harness.quantization.simulated import WEIGHTS, Simulated
from harness.tasks.base import Head

CLASSIFY = Head("sequence-classification", 2, "single_label_classification")
MICRO = ("decoder", "encoder", "seq2seq")


def simulated(**fields: object) -> Simulated:
    found = scheme("simulated", **fields)
    assert isinstance(found, Simulated)
    return found


def loaded(of: Simulated, source: Path, folder: Path | None = None, head: Head | None = None):
    """The model as a cell gets it; unquantized without a folder."""
    torch.manual_seed(0)
    config = model_config(source)
    model = load_model(config if folder is None else of.stored_model(config, folder), head or default_head(source), of, "cpu", Path())
    if folder is not None:
        of.restore(model, folder)
    return model


def logits(model) -> torch.Tensor:
    ids = torch.randint(5, 900, (2, 24), generator=torch.Generator().manual_seed(0))
    arguments = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=ids, **arguments).logits


@pytest.mark.parametrize("name", MICRO)
def test_loading_twice_gives_the_same_logits_and_they_are_those_of_the_rounded_weights(name: str, tmp_path: Path) -> None:
    of, source = simulated(data_type="int3", group_size=32), model_path(name)
    work = job(source, tmp_path / "entry")
    of.quantize(work)
    first, second, plain = loaded(of, source, work.folder), loaded(of, source, work.folder), loaded(of, source)
    assert torch.equal(logits(first), logits(second))
    assert not torch.allclose(logits(first), logits(plain), atol=1e-3)
    layers = list(of.quantized_layers(first))
    rounding = Rounding("int3", "per-group", 32, True, False)
    for layer in layers:
        exact = plain.get_submodule(layer.name).weight.detach()
        assert torch.equal(first.get_submodule(layer.name).weight, rounding(exact))
    changed = {key for key, value in first.state_dict().items() if not torch.equal(value, plain.state_dict()[key])}
    assert changed == {f"{layer.name}.weight" for layer in layers}
    assert not [layer for layer in layers if layer.name.split(".")[0] in {"lm_head", "shared", *(head_modules(first) if name == "encoder" else ())}]
    assert of.dequantized(first) is first


@pytest.mark.parametrize("name", MICRO)
def test_no_memory_is_saved_and_the_record_says_what_the_grid_would_take(name: str, tmp_path: Path) -> None:
    of, source = simulated(double_quant=True), model_path(name)
    work = job(source, tmp_path / "entry")
    of.quantize(work)
    model = loaded(of, source, work.folder)
    layers = list(of.quantized_layers(model))
    assert {layer.kernel for layer in layers} == {"Linear"}
    assert sum(layer.bytes for layer in layers) == 4 * sum(layer.weights for layer in layers)
    assert model_bytes(model) == model_bytes(loaded(of, source))
    assert work.notes == ["simulated: no memory is saved; nf4 weights as these would take 4.127 bits each, constants included"]


@pytest.mark.parametrize(("name", "head"), [("decoder", Head("causal-lm")), ("seq2seq", Head("seq2seq-lm"))])
def test_one_entry_serves_every_head(name: str, head: Head, tmp_path: Path) -> None:
    of, source = simulated(), model_path(name)
    for_language, for_classes = job(source, tmp_path / "language", head=head), job(source, tmp_path / "classes", head=CLASSIFY)
    of.quantize(for_language)
    of.quantize(for_classes)
    assert (for_language.folder / WEIGHTS).read_bytes() == (for_classes.folder / WEIGHTS).read_bytes()
    classifier, exact = loaded(of, source, for_language.folder, CLASSIFY), loaded(of, source, head=CLASSIFY)
    kept = head_modules(classifier)
    assert kept
    assert all(torch.equal(one, other) for at in kept for one, other in zip(classifier.get_submodule(at).parameters(), exact.get_submodule(at).parameters(), strict=True))


def test_the_input_channels_of_gpt2_are_the_rows_of_its_weights(tmp_path: Path) -> None:
    from harness.models.base import ModelConfig
    from harness.models.random_weights import materialise
    from harness.models.source import cache_folder

    source = materialise("tiny-gpt2", ModelConfig(source="random:tiny-gpt2", dtype="float32"), cache_folder())
    of = simulated(granularity="per-channel", data_type="int4")
    work = job(source, tmp_path / "entry")
    of.quantize(work)
    model, plain = loaded(of, source, work.folder), loaded(of, source)
    layers = list(of.quantized_layers(model))
    assert {layer.kernel for layer in layers} == {"Conv1D"}
    for layer in layers:
        module = model.get_submodule(layer.name)
        assert isinstance(module, Conv1D)
        for column, exact in zip(module.weight.T, plain.get_submodule(layer.name).weight.T, strict=True):
            assert len(column.unique()) <= 16
            assert (column - exact).abs().max() <= exact.abs().max() * 1.01 / 15


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_keep_their_dtype_and_equal_what_bitsandbytes_computes_with(dtype: torch.dtype, tmp_path: Path) -> None:
    source = model_path("decoder")
    config = model_config(source).model_copy(update={"dtype": str(dtype).removeprefix("torch.")})
    of = simulated(double_quant=True)
    work = job(source, tmp_path / "entry", dtype=dtype)
    of.quantize(work)
    model, real = (load_model(config, Head("causal-lm"), each, "cpu", Path()) for each in (of, scheme("bnb-nf4-dq")))
    of.restore(model, work.folder)
    real = scheme("bnb-nf4-dq").dequantized(real)
    for layer in of.quantized_layers(model):
        weight = model.get_submodule(layer.name).weight
        assert weight.dtype == dtype
        assert torch.equal(weight, real.get_submodule(layer.name).weight)


def test_skipped_modules_stay_exact(tmp_path: Path) -> None:
    of, source = simulated(skip_modules=["layers.0", "down_proj"]), model_path("decoder")
    work = job(source, tmp_path / "entry")
    of.quantize(work)
    names = {layer.name for layer in of.quantized_layers(loaded(of, source, work.folder))}
    assert names
    assert not [name for name in names if "down_proj" in name or ".layers.0." in name]
    assert {f"model.{name}.weight" for name in ("layers.1.mlp.up_proj",)} <= {f"{name}.weight" for name in names}


@pytest.mark.parametrize("damage", ["missing", "foreign", "shape", "dtype"])
def test_an_entry_that_is_not_this_models_is_refused(damage: str, tmp_path: Path) -> None:
    of, source = simulated(), model_path("encoder")
    work = job(source, tmp_path / "entry")
    of.quantize(work)
    weights = load_file(work.folder / WEIGHTS)
    name = next(iter(weights))
    weight = weights.pop(name)
    replaced = {"missing": {}, "foreign": {name: weight, "other.weight": weight.clone()}, "shape": {name: weight[:8].clone()}, "dtype": {name: weight.half()}}
    save_file(weights | replaced[damage], work.folder / WEIGHTS)
    with pytest.raises(HarnessError, match=r"holds other weights|the model's is"):
        loaded(of, source, work.folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"granularity": "per-channel", "group_size": 64}, "group_size has no meaning with granularity per-channel"),
        ({"sym": False}, "sym is for integers; nf4"),
        ({"granularity": "per-tensor", "double_quant": True}, "double_quant needs more than"),
        ({"salient": {}}, "need calibration"),
        ({"scaling_search": {}}, "need calibration"),
        ({"salient": {"select": "weight"}, "scaling_search": {}, "calibration": {}}, "give one"),
        ({"calibration": {"set": "micro"}}, "only salient by activation and scaling_search look at it"),
        ({"salient": {"select": "random"}, "calibration": {"set": "micro"}}, "look at it"),
        ({"data_type": "int9"}, "data_type"),
        ({"salient": {"percent": 0}}, "percent"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        simulated(**fields)


def test_a_group_that_divides_no_row_and_a_module_that_is_not_there_are_refused_by_plan_and_quantize(tmp_path: Path) -> None:
    source = model_path("decoder")
    plain = loaded(simulated(), source)
    anatomy = anatomy_of(plain, [])
    assert simulated().unfit(anatomy) is None
    assert simulated(granularity="per-channel").unfit(anatomy) is None
    for wrong, message in ((simulated(group_size=48), "48 does not divide the 128 input channels of model.layers.0"), (simulated(skip_modules=["q_porj"]), "'q_porj' is no module")):
        assert message in (wrong.unfit(anatomy) or "")
        with pytest.raises(Unsupported, match=message):
            wrong.quantize(job(source, tmp_path / message[:2]))
    assert simulated(group_size=48, skip_modules=["layers"]).unfit(anatomy) is None


def test_without_calibration_none_is_asked_for() -> None:
    assert simulated(salient={"select": "weight"}).calibrated_on is None
    asked = simulated(salient={}, calibration={"set": "micro", "samples": 4})
    assert asked.calibrated_on is not None
    assert (asked.calibrated_on.samples, asked.kbit, asked.tunable_weights, asked.quantizes) == (4, False, False, True)
