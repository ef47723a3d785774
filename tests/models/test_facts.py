"""Facts from config.json alone, and where models come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import RequestError, UnknownName
from harness.models.base import ModelConfig
from harness.models.facts import facts_of, read_facts
from harness.models.source import local_folder, shapes, split

# Parameters of the published models: their papers or model cards, and llama-7b's and ChatGLM3's exact counts.
PUBLISHED = {"llama-7b": 6_738_415_616, "chatglm3-6b": 6_243_584_000, "gpt2": 124_439_808, "opt-1.3b": 1_315_758_080, "t5-base": 222_903_552}


@pytest.mark.parametrize(
    ("source", "kind", "context"),
    [
        ("random:roberta-large", "encoder", 512),  # 514 positions, two of them behind the padding index
        ("random:llama-7b", "decoder", 2048),
        ("random:bloom-7b1", "decoder", None),
        ("random:t5-base", "encoder-decoder", None),
        ("random:gpt2-medium", "decoder", 1024),
        ("micro:encoder", "encoder", 256),
        ("micro:decoder", "decoder", 512),
        ("micro:seq2seq", "encoder-decoder", None),
    ],
)
def test_kind_and_context_are_read_without_weights(source: str, kind: str, context: int | None) -> None:
    facts = read_facts(ModelConfig(source=source))
    assert facts is not None
    assert (facts.kind, facts.context) == (kind, context)


def test_a_hub_model_that_is_not_downloaded_has_no_facts_yet() -> None:
    assert read_facts(ModelConfig(source="hub:nobody/nothing-here")) is None


def test_an_unknown_model_type_is_told_by_its_architectures() -> None:
    assert facts_of({"model_type": "new", "architectures": ["NewForMaskedLM"]}).kind == "encoder"
    assert facts_of({"model_type": "new", "architectures": ["NewForCausalLM"]}).kind == "decoder"
    assert facts_of({"model_type": "new", "is_encoder_decoder": True}).kind == "encoder-decoder"


@pytest.mark.parametrize("source", ["roberta-large", "huub:x", "micro:", ":x"])
def test_a_source_without_a_known_kind_is_refused(source: str) -> None:
    with pytest.raises(RequestError, match="a model source is hub:"):
        split(source)


def test_an_unknown_shape_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean llama-7b"):
        read_facts(ModelConfig(source="random:lama-7b"))


def test_a_folder_without_weights_or_with_pickles_only_is_refused(tmp_path: Path) -> None:
    config = ModelConfig(source=f"path:{tmp_path}")
    with pytest.raises(RequestError, match=r"has no config\.json"):
        local_folder(config)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(RequestError, match=r"has no weights: expected \*\.safetensors"):
        local_folder(config)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(RequestError, match="allow_pickle: true"):
        local_folder(config)
    assert local_folder(config.model_copy(update={"allow_pickle": True})) == tmp_path


@pytest.mark.parametrize("shape", shapes())
def test_every_shape_builds_and_the_known_ones_have_the_published_size(shape: str) -> None:
    import torch
    import transformers

    from harness.models.source import shape_file

    values = json.loads(shape_file(shape).read_text())
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        model = getattr(transformers, values["architectures"][0])(config)
    assert model.num_parameters() == PUBLISHED.get(shape, model.num_parameters()) > (1e5 if shape.startswith("tiny-") else 1e7)


@pytest.mark.parametrize(("source", "said"), [("micro:encodr", "did you mean encoder"), ("huub:x/y", "a model source is hub:")])
def test_a_wrong_source_is_refused_by_the_entry_itself(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModelConfig(source=source)
