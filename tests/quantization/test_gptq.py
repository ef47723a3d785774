"""GPTQ on a tiny decoder: better than rounding by its own measure, in every order of columns; what it reads, keeps and tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from jobs import scheme
from packed_models import CLASSIFY, error, loaded, logits, quantized, tiny
from pydantic import ValidationError

from harness.quantization.job import QuantizationJob
from harness.quantization.packing import deviations

SAMPLES, LENGTH = 16, 64


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def entry(source: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantizationJob:
    return quantized(scheme("gptq-3bit", group_size=32), source, tmp_path_factory.mktemp("entries") / "gptq", SAMPLES, LENGTH)


def inputs_of(job: QuantizationJob, name: str) -> torch.Tensor:
    """What that layer of the unquantized model got to see of the calibration samples, of shape (tokens, in_features)."""
    model, seen = job.load(), []
    model.get_submodule(name).register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(0, 1)))
    with torch.no_grad():
        model(torch.stack(list(job.samples)))
    return torch.cat(seen)


def output_error(job: QuantizationJob, folder: Path, name: str, of: object) -> float:
    """Relative error of the layer's outputs on those inputs: what GPTQ makes small."""
    weight = of.dequantized(loaded(of, folder)).get_submodule(name).weight  # type: ignore[attr-defined]
    inputs, exact = inputs_of(job, name), job.load().get_submodule(name).weight
    return error(inputs @ weight.T, inputs @ exact.T)


@pytest.mark.parametrize(
    "fields", [{}, {"desc_act": True, "sym": False}, {"act_group_aware": True}, {"group_size": -1}, {"desc_act": True, "static_groups": True, "mse": 2.4}]
)
def test_outputs_of_a_layer_are_nearer_than_after_rounding(source: Path, tmp_path: Path, fields: dict[str, object]) -> None:
    """Of the first layer, whose inputs are the unquantized model's in both."""
    grid = {name: value for name, value in ({"group_size": 32} | fields).items() if name in ("group_size", "sym")}
    gptq, rtn = scheme("gptq-3bit", **({"group_size": 32} | fields)), scheme("rtn-3bit", **grid)
    made = quantized(gptq, source, tmp_path / "gptq", SAMPLES, LENGTH)
    rounded = quantized(rtn, source, tmp_path / "rtn")
    name = "model.layers.0.self_attn.q_proj"
    assert output_error(made, made.folder, name, gptq) < 0.9 * output_error(made, rounded.folder, name, rtn)


def test_two_loads_agree_to_the_bit_and_with_ordinary_layers_of_the_same_weights(entry: QuantizationJob) -> None:
    of = scheme("gptq-3bit", group_size=32)
    model = loaded(of, entry.folder)
    once = logits(model)
    assert torch.equal(once, logits(loaded(of, entry.folder)))
    assert error(logits(of.dequantized(model)), once) < 1e-6


def test_quantizing_again_gives_the_same_weights(entry: QuantizationJob, source: Path, tmp_path: Path) -> None:
    of = scheme("gptq-3bit", group_size=32)
    again = quantized(of, source, tmp_path / "again", SAMPLES, LENGTH)
    assert torch.equal(logits(loaded(of, again.folder)), logits(loaded(of, entry.folder)))


def test_a_trained_head_outlives_quantizing(source: Path, tmp_path: Path) -> None:
    """gptqmodel loads the checkpoint as a language model, which has no place for it."""
    tuned = loaded_classifier(source)
    tuned.save_pretrained(tmp_path / "tuned")
    for file in source.glob("tokenizer*"):
        (tmp_path / "tuned" / file.name).write_bytes(file.read_bytes())
    of = scheme("rtn-8bit", group_size=32)
    made = quantized(of, tmp_path / "tuned", tmp_path / "entry", head=CLASSIFY)
    model = loaded(of, made.folder, CLASSIFY)
    assert torch.equal(model.score.weight, tuned.score.weight)
    assert error(logits(model), logits(tuned)) < 0.05
    assert model.config.architectures == ["LlamaForSequenceClassification"]


def loaded_classifier(source: Path) -> torch.nn.Module:
    torch.manual_seed(7)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, dtype=torch.float32)
    torch.nn.init.normal_(model.score.weight)
    return model.eval()


def test_fields_reach_the_library() -> None:
    fields = {"group_size": 64, "sym": False, "desc_act": True, "static_groups": True, "damp_percent": 0.2, "mse": 2.0, "true_sequential": False}
    config = scheme("gptq-2bit", **fields).packing_config()  # type: ignore[attr-defined]
    assert config.bits == 2
    assert {name: getattr(config, name) for name in fields} == fields


def test_what_the_library_did_otherwise_is_told() -> None:
    log = [
        {"layer": 0, "module": "mlp.up_proj", "loss": "fallback(rtn): 0.01", "damp": "0.00000"},
        {"layer": 0, "module": "mlp.down_proj", "loss": "0.1", "damp": "0.05000"},
        {"layer": 1, "module": "mlp.down_proj", "loss": "0.1", "damp": "0.01000"},
    ]
    rounded, damped = deviations(log, 0.01)
    assert "rounded to nearest" in rounded
    assert "1 layers: 0.mlp.up_proj" in rounded
    assert damped == "gptqmodel raised damp_percent from 0.01 for 1 layers, most for 0.mlp.down_proj: 0.05"


@pytest.mark.parametrize("fields", [{"desc_act": True, "act_group_aware": True}, {"act_group_aware": True, "group_size": -1}, {"group_size": 100}, {"damp_percent": 0.0}])
def test_fields_that_contradict_or_leave_the_librarys_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        scheme("gptq-4bit", **fields)
