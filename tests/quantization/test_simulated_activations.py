"""What the simulated scheme does with activations: statistics, salient channels, the search for scales."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jobs import job, scheme
from safetensors.torch import load_file

from harness.micro import model_path
from harness.quantization.activations import Inputs, observe
from harness.quantization.rounding import Rounding
from harness.quantization.salient import Salient
from harness.quantization.scaling import ScalingSearch
from harness.quantization.simulated import WEIGHTS

INT3 = Rounding("int3", "per-group", 32, True, False)
CALIBRATION = {"set": "micro", "samples": 4, "length": 64}


def weights(folder: Path, source: Path, **fields: object) -> tuple[dict[str, torch.Tensor], list[str]]:
    """What the scheme writes for the model, int3 in groups of 32, and its notes."""
    work = job(source, folder, samples=4, length=64)
    scheme("simulated", data_type="int3", group_size=32, **fields).quantize(work)
    return load_file(work.folder / WEIGHTS), work.notes


def inputs_of(rows: torch.Tensor) -> Inputs:
    found = Inputs()
    found.add(rows, keep=len(rows))
    return found


@pytest.mark.parametrize("name", ["decoder", "encoder", "seq2seq"])
def test_statistics_are_those_of_what_reaches_a_layer(name: str, tmp_path: Path) -> None:
    work = job(model_path(name), tmp_path / "entry", samples=3, length=32)
    model = work.load()
    layers = {at: module for at, module in model.base_model.named_modules() if isinstance(module, torch.nn.Linear) and at != "lm_head"}
    seen = observe(model, layers, work.samples, rows=12)
    assert set(layers) == set(seen)
    assert all(not module._forward_pre_hooks for module in layers.values())
    for at, inputs in seen.items():
        assert inputs.magnitude.shape == (layers[at].in_features,)
        assert inputs.magnitude.min() >= 0
        assert torch.cat(inputs.rows).shape == ((12, layers[at].in_features) if "pooler" not in at else (3, layers[at].in_features))


def test_magnitude_is_the_mean_over_the_tokens_of_all_samples() -> None:
    found = Inputs()
    found.add(torch.tensor([[[1.0, -2.0], [3.0, 0.0]]]), keep=1)
    found.add(torch.tensor([[[-5.0, 4.0]]]), keep=1)
    assert found.magnitude.tolist() == [3, 2]
    assert [rows.tolist() for rows in found.rows] == [[[1, -2]], [[-5, 4]]]


def test_salient_channels_are_the_largest_by_what_they_are_chosen_by() -> None:
    weight, magnitude = torch.ones(4, 100), torch.zeros(100)
    weight[:, [3, 5]], magnitude[[10, 20]] = 2, torch.tensor([1.0, 2.0])

    def chosen(select: str, seed: int = 0) -> list[int]:
        return Salient(percent=2, select=select).channels(weight, magnitude, torch.Generator().manual_seed(seed)).tolist()

    assert sorted(chosen("weight")) == [3, 5]
    assert chosen("activation") == [20, 10]
    assert chosen("random") == chosen("random") != chosen("random", seed=1)
    assert Salient(percent=0.1).kept(100) == 1


@pytest.mark.parametrize("select", ["activation", "weight", "random"])
def test_kept_channels_are_exact_and_all_others_are_rounded_as_without_them(select: str, tmp_path: Path) -> None:
    source = model_path("decoder")
    rounded, _ = weights(tmp_path / "all", source)
    calibration = {"calibration": CALIBRATION} if select == "activation" else {}
    kept, notes = weights(tmp_path / "kept", source, salient={"percent": 3, "select": select}, **calibration)
    exact = job(source, tmp_path / "exact").load().base_model
    for name, weight in kept.items():
        same = (weight == exact.get_parameter(name)).all(dim=0)
        assert same.sum() == round(0.03 * weight.shape[1])
        assert torch.equal(weight[:, ~same], rounded[name][:, ~same])
    assert "3.594 bits" in weights(tmp_path / "again", source)[1][0]
    assert "bits each" in notes[0]
    assert len(notes) == 1


def test_random_channels_follow_their_seed(tmp_path: Path) -> None:
    source = model_path("encoder")
    first, again, other = (weights(tmp_path / str(index), source, salient={"select": "random", "seed": seed})[0] for index, seed in enumerate((0, 0, 1)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_search_takes_the_exponent_with_the_smallest_output_error() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 64, generator=generator)
    rows = torch.randn(256, 64, generator=generator)
    rows[:, [4, 40]] *= 30
    found = ScalingSearch().rounded(weight, INT3, inputs_of(rows))
    magnitude = rows.abs().mean(dim=0)
    candidates = []
    for step in range(20):
        scales = magnitude ** (step / 19)
        scales = scales / (scales.max() * scales.min()).sqrt()
        candidates.append(INT3(weight * scales) / scales)
    errors = [(rows @ (candidate - weight).T).square().sum().item() for candidate in candidates]
    best = errors.index(min(errors))
    assert 0 < best < 19
    assert torch.allclose(found, candidates[best])
    assert errors[best] < 0.6 * errors[0]


def test_scaling_that_helps_nothing_is_not_done() -> None:
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ScalingSearch().rounded(weight, INT3, inputs_of(torch.ones(8, 64))), INT3(weight))


def test_looking_at_activations_lowers_the_output_error(tmp_path: Path) -> None:
    source = model_path("decoder")
    work = job(source, tmp_path / "check", samples=8, length=64)
    model = work.load()
    layers = {at: module for at, module in model.base_model.named_modules() if isinstance(module, torch.nn.Linear)}
    seen = observe(model, layers, work.samples[4:], rows=256)

    def error(found: dict[str, torch.Tensor]) -> float:
        differences = (torch.cat(seen[at].rows) @ (found[f"{at}.weight"] - module.weight.detach()).T for at, module in layers.items())
        return sum(difference.square().sum().item() for difference in differences)

    plain = error(weights(tmp_path / "plain", source)[0])
    salient = error(weights(tmp_path / "salient", source, salient={}, calibration=CALIBRATION)[0])
    scaled = error(weights(tmp_path / "scaled", source, scaling_search={}, calibration=CALIBRATION)[0])
    print(f"output error, int3 g32: plain {plain:.4g}, salient {salient:.4g}, scaled {scaled:.4g}")
    assert salient < plain
    assert scaled < plain


def test_a_layer_that_no_sample_reaches_is_rounded_plainly_and_noted(tmp_path: Path) -> None:
    from dataclasses import replace

    source = model_path("decoder")
    work = job(source, tmp_path / "entry", samples=2, length=16)

    def load_with_an_idle_layer():
        model = work.load()
        model.base_model.idle = torch.nn.Linear(64, 8)
        return model

    scheme("simulated", data_type="int3", group_size=32, salient={}, calibration=CALIBRATION).quantize(replace(work, load=load_with_an_idle_layer))
    assert work.notes[1] == "simulated: no calibration sample reached idle (1 layers): rounded without looking at activations"
