"""full, top-k and bitfit on every family: what is tuned, that it is all that is tuned, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from safetensors import safe_open

from harness.errors import Unsupported
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from tests.methods.trials import CLASSIFY, FAMILIES, Trial, failed, method, trial

NONE, NF4 = (SCHEMES.get(name)(scheme=name) for name in ("none", "bnb-nf4"))
WITHOUT_BIASES = ("llama", "t5")


def tuned(of: Trial) -> set[str]:
    return {name for name, parameter in of.attached().named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", ["roberta", "bloom", "t5"])
def test_full_works_on_every_kind(family: str, tmp_path: Path) -> None:
    assert not failed(trial(method("full"), family, tmp_path).run())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["top-k", "bitfit"])
def test_they_work_on_every_family(name: str, family: str, tmp_path: Path) -> None:
    tried = trial(method(name), family, tmp_path)
    if name == "bitfit" and family in WITHOUT_BIASES:
        with pytest.raises(Unsupported, match=f"tunes biases; this {family} model has none"):
            tried.run()
    else:
        assert not failed(tried.run())


@pytest.mark.parametrize("scheme", ["bnb-int8", "bnb-nf4"])
@pytest.mark.parametrize("family", ["roberta", "opt"])
def test_biases_of_quantized_layers_get_gradients(family: str, scheme: str, tmp_path: Path) -> None:
    assert not failed(trial(method("bitfit"), family, tmp_path, scheme=scheme).run())


def test_the_last_layers_are_tuned_with_the_pooler_and_the_head(tmp_path: Path) -> None:
    names = tuned(trial(method("top-k", k=1), "bert", tmp_path))
    assert {name.split(".")[0] for name in names} == {"bert", "classifier"}
    assert {".".join(name.split(".")[:4]) for name in names if name.startswith("bert.")} == {"bert.encoder.layer.1", "bert.pooler.dense.weight", "bert.pooler.dense.bias"}


@pytest.mark.parametrize("family", ["gpt2", "opt", "bloom", "llama", "glm"])
def test_of_a_decoder_the_final_norm_is_tuned_and_the_embeddings_are_not(family: str, tmp_path: Path) -> None:
    names = tuned(trial(method("top-k", k=1), family, tmp_path))
    outside = {name for name in names if ".0." not in name and ".1." not in name}
    assert outside
    assert all(name.split(".")[-2] in ("ln_f", "norm", "final_layer_norm") for name in outside)


def test_of_an_encoder_decoder_the_decoders_last_layers_are_tuned(tmp_path: Path) -> None:
    names = tuned(trial(method("top-k", k=1), "t5", tmp_path))
    assert {".".join(name.split(".")[:3]) for name in names} == {"decoder.block.1", "decoder.final_layer_norm.weight"}


def test_query_and_intermediate_are_two_biases_a_layer(tmp_path: Path) -> None:
    tried = trial(method("bitfit", biases="query-and-intermediate"), "roberta", tmp_path)
    assert not failed(tried.run())
    assert tried.method.count(tried.attachment.anatomy) == 2 * (64 + 128)


@pytest.mark.parametrize("family", ["gpt2", "glm"])
def test_a_bias_that_is_not_there_alone_cannot_be_chosen(family: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="needs a bias of its own on every"):
        trial(method("bitfit", biases="query-and-intermediate"), family, tmp_path).attached()


def test_one_file_holds_what_was_tuned(tmp_path: Path) -> None:
    tried = trial(method("bitfit"), "gpt2", tmp_path, head=CLASSIFY)
    tried.method.save(tried.attached(), tmp_path / "adapter")
    (file,) = (tmp_path / "adapter").iterdir()
    with safe_open(file, "pt") as saved:
        names = set(saved.keys())
    assert names == tuned(tried)
    assert "score.weight" in names


def test_a_budget_chooses_the_layers(tmp_path: Path) -> None:
    one = trial(method("top-k", k=1), "gpt2", tmp_path)
    parameters = one.method.count(one.attachment.anatomy)
    chosen = trial(method("top-k", budget={"trainable_parameters": round(1.9 * parameters)}), "gpt2", tmp_path).method
    assert chosen == method("top-k", k=2, budget=None)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    assert "stores their weights quantized" in str(method("top-k").unsupported(None, NF4))
    assert "more than the model's 2 layers" in str(method("top-k", k=3).unsupported(ModelFacts("bert", "encoder", layers=2), NONE))
    with pytest.raises(Unsupported, match="k 3: the last layers of this t5 model are at most 2"):
        trial(method("top-k", k=3), "t5", tmp_path).attached()
    assert method("bitfit").unsupported(None, NF4) is None


def test_the_trainer_takes_biases_on_a_quantized_base(tmp_path: Path) -> None:
    tried = trial(method("bitfit"), "roberta", tmp_path, scheme="bnb-nf4")
    transformers.Trainer(model=tried.attached(), args=transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True))
