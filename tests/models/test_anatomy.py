"""Anatomies: what a process without weights finds is what the loaded model has, for every family."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.families import FAMILIES
from harness.models.skeletons import anatomies
from harness.models.source import shapes
from harness.tasks.base import Head

CLASSIFY = Head("sequence-classification", 2, "single_label_classification")
TINY = [name for name in shapes() if name.startswith("tiny-")]
PARTS_OF_A_LAYER = {"query", "key", "value", "attention_out", "ffn_in", "ffn_out"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def classifiers(cache: Path) -> dict[str, Anatomy]:
    """Every tiny family with a classification head, sized in one process."""
    found = anatomies([(ModelConfig(source=f"random:{name}"), CLASSIFY) for name in TINY], cache)
    assert all(found)
    return {name: anatomy for name, anatomy in zip(TINY, found, strict=True) if anatomy is not None}


def as_linear(anatomy: Anatomy) -> Anatomy:
    """GPT-2's Conv1D become linear layers when they are quantized."""
    modules = tuple(replace(module, kind="linear") if module.is_matrix else module for module in anatomy.modules)
    return replace(anatomy, modules=modules)


@pytest.mark.parametrize("name", TINY)
def test_the_skeletons_anatomy_is_the_loaded_models(name: str, classifiers: dict[str, Anatomy], cache: Path) -> None:
    from harness.models.dissect import anatomy_of
    from harness.models.load import head_modules, load_model
    from harness.quantization.base import SCHEMES

    config = ModelConfig(source=f"random:{name}", dtype="float32")
    plain = load_model(config, CLASSIFY, SCHEMES.get("none")(scheme="none"), "cpu", cache)
    quantized = load_model(config, CLASSIFY, SCHEMES.get("bnb-nf4")(scheme="bnb-nf4"), "cpu", cache)
    assert anatomy_of(plain, head_modules(plain)) == classifiers[name]
    assert as_linear(anatomy_of(quantized, head_modules(quantized))) == as_linear(classifiers[name]), "4-bit weights count as the weights they hold"
    assert classifiers[name].total == plain.num_parameters()


@pytest.mark.parametrize("name", TINY)
def test_every_layer_has_every_part_once(name: str, classifiers: dict[str, Anatomy]) -> None:
    anatomy = classifiers[name]
    parts = Counter(module.part for module in anatomy.matrices())
    wanted = {"qkv"} | (PARTS_OF_A_LAYER - {"query", "key", "value"}) if parts["qkv"] else PARTS_OF_A_LAYER
    attentions = 6 if anatomy.kind == "encoder-decoder" else 2  # encoder self, decoder self and cross, twice
    assert wanted <= set(parts)
    assert parts["attention_out"] == attentions
    assert parts["ffn_out"] == (4 if anatomy.kind == "encoder-decoder" else 2)
    assert anatomy.layers == 2
    assert anatomy.head > 0
    assert {module.stack for module in anatomy.matrices()} == ({"encoder", "decoder"} if anatomy.kind == "encoder-decoder" else {anatomy.kind})


def test_a_second_plan_takes_the_anatomy_from_the_cache(classifiers: dict[str, Anatomy], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert anatomies([(ModelConfig(source="random:tiny-bert"), CLASSIFY)], cache) == [classifiers["tiny-bert"]]
    with pytest.raises(OSError, match="nonexistent"):
        anatomies([(ModelConfig(source="random:tiny-bert"), Head("causal-lm"))], cache)


def test_a_model_that_cannot_be_built_is_told_in_transformers_words(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    (reason,) = anatomies([(ModelConfig(source=f"random:{tmp_path}"), CLASSIFY)], cache)
    assert isinstance(reason, str)
    assert "no-such-model" in reason


def test_a_model_that_cannot_be_built_leaves_the_others_theirs(classifiers: dict[str, Anatomy], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    bad, good = anatomies([(ModelConfig(source=f"random:{name}"), CLASSIFY) for name in (tmp_path, "tiny-bert")], tmp_path)
    assert (type(bad), good) == (str, classifiers["tiny-bert"])


def test_a_hub_model_that_is_not_downloaded_has_none(cache: Path) -> None:
    assert anatomies([(ModelConfig(source="hub:nobody/nothing"), CLASSIFY)], cache) == [None]


def test_asking_for_anatomies_imports_no_torch(classifiers: dict[str, Anatomy], cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.models.skeletons import anatomies\n"
        "from harness.models.base import ModelConfig; from harness.tasks.base import Head\n"
        f"head = Head('sequence-classification', 2, 'single_label_classification')\n"
        f"assert anatomies([(ModelConfig(source='random:tiny-bert'), head)], Path({str(cache)!r}))\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_lora_targets_are_queries_and_values_of_every_family(model_type: str) -> None:
    targets = FAMILIES[model_type].lora_targets
    parts = {FAMILIES[model_type].part(f"model.layers.0.{ending}") for ending in FAMILIES[model_type].parts if ending.rpartition(".")[2] in targets}
    assert parts in ({"query", "value"}, {"qkv"}), targets
