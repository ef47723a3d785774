"""The forms of a tuned model: as trained, merged, and quantized again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lived import ALL, TIED, Lived, live
from transformers import AutoModelForCausalLM

from harness.errors import Unsupported
from harness.micro import model_path
from harness.models.sizes import model_bytes


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """LoRA on a 4-bit decoder in all forms."""
    return live(tmp_path_factory.mktemp("decoder"), "bnb-nf4")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """LoRA on a 4-bit encoder, its head tuned in float32 over bfloat16, in all forms."""
    return live(tmp_path_factory.mktemp("encoder"), "bnb-nf4", kind="encoder", dtype="bfloat16", steps=150, length=64)


def test_every_form_has_its_own_phases_and_their_memory(decoder: Lived) -> None:
    assert decoder.phases[-10:] == [
        "train", "check", "evaluate", "generate", "merge", "evaluate_merged", "generate_merged",
        "requantize", "evaluate_requantized", "generate_requantized",
    ]  # fmt: skip
    assert all(decoder.host_peaks.values())


def test_merging_into_the_dequantized_base_changes_rounding_alone_and_quantizing_again_changes_more(decoder: Lived) -> None:
    found = decoder.values
    assert list(found) == ["before", "after", "merged", "merged-requantized"]
    tuned = abs(found["after"] - found["before"])
    assert tuned > 1e-3, "training must have changed something"
    assert found["merged"] == pytest.approx(found["after"], rel=1e-5)
    assert abs(found["merged-requantized"] - found["after"]) > tuned / 100


def test_latency_is_measured_in_every_form(decoder: Lived) -> None:
    assert [latency.form for latency in decoder.result.latency] == ["unmerged", "merged", "merged-requantized"]


def test_a_classifier_is_timed_batch_by_batch_in_every_form(encoder: Lived) -> None:
    assert [(latency.form, latency.tokens) for latency in encoder.result.batch_latency] == [("unmerged", 4), ("merged", 4), ("merged-requantized", 4)]
    assert encoder.result.latency == []


def test_bytes_are_those_of_each_form(decoder: Lived) -> None:
    sizes = decoder.result.sizes
    plain = AutoModelForCausalLM.from_pretrained(model_path("decoder"), dtype=torch.float32)
    assert sizes.merged_bytes == model_bytes(plain)
    assert sizes.model_bytes is not None
    assert sizes.requantized_bytes == sizes.model_bytes < model_bytes(plain) / 2


def test_the_tuned_model_is_gone_before_another_is_loaded(decoder: Lived, encoder: Lived) -> None:
    assert (decoder.tuned_model_alive, encoder.tuned_model_alive) == (False, False)


def test_nothing_of_the_merged_model_stays_on_disk(decoder: Lived) -> None:
    assert sorted(path.name for path in decoder.folder.iterdir()) == ["adapter", "training.jsonl"]


def test_a_classifier_keeps_its_tuned_head_in_every_form_to_the_last_bit(encoder: Lived) -> None:
    after = encoder.heads["after"]
    assert {values.dtype for values in after.values()} == {torch.float32}
    assert not torch.equal(after["classifier.weight"], encoder.heads["before"]["classifier.weight"].float())
    for form in ("merged", "merged-requantized"):
        assert encoder.heads[form].keys() == after.keys()
        assert all(torch.equal(encoder.heads[form][name], values) for name, values in after.items()), form


def test_a_classifier_answers_as_well_in_every_form(encoder: Lived) -> None:
    accuracy = encoder.values
    assert accuracy["after"] > 0.8, "what has learnt nothing would agree by chance"
    assert accuracy["merged"] == pytest.approx(accuracy["after"], abs=0.02)
    assert accuracy["merged-requantized"] == pytest.approx(accuracy["after"], abs=0.1)


def test_weights_that_are_not_quantized_are_merged_where_they_are(tmp_path: Path) -> None:
    lived = live(tmp_path, "none")
    assert lived.values["merged"] == pytest.approx(lived.values["after"], rel=1e-5)
    assert lived.tuned_model_alive is True
    assert "not evaluated merged-requantized: scheme none quantizes nothing, so nothing can be quantized again" in lived.result.notes


def test_tuned_biases_are_merged_into_the_dequantized_base(tmp_path: Path) -> None:
    lived = live(tmp_path, "bnb-nf4", "bitfit", "encoder", "forms: [unmerged, merged]")
    assert not torch.equal(lived.heads["after"]["classifier.bias"], lived.heads["before"]["classifier.bias"])
    assert torch.equal(lived.heads["after"]["classifier.bias"], lived.heads["merged"]["classifier.bias"])
    assert lived.values["merged"] == pytest.approx(lived.values["after"], abs=0.01)


def test_a_method_that_cannot_be_merged_is_evaluated_as_trained_and_says_why_not_otherwise(tmp_path: Path) -> None:
    lived = live(tmp_path, "bnb-nf4", "{method: prompt-tuning, num_virtual_tokens: 4}")
    assert list(lived.values) == ["before", "after"]
    for form in ("merged", "merged-requantized"):
        assert f"not evaluated {form}: prompt-tuning cannot be merged into the base weights" in lived.result.notes


def test_what_turns_out_not_to_merge_on_this_model_keeps_its_other_form(tmp_path: Path) -> None:
    lived = live(tmp_path, "none", TIED, measure="forms: [unmerged, merged]")
    assert list(lived.values) == ["before", "after"]
    assert any(note.startswith("not evaluated merged: lora on tied embeddings cannot be merged") for note in lived.result.notes)


def test_and_without_another_form_the_cell_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="tied embeddings"):
        live(tmp_path, "none", TIED, measure="forms: [merged]")


def test_forms_that_are_not_asked_for_are_not_made(tmp_path: Path) -> None:
    lived = live(tmp_path, "bnb-nf4", measure="forms: [merged-requantized]")
    assert list(lived.values) == ["before", "merged-requantized"]
    assert lived.phases[-3:] == ["merge", "requantize", "evaluate_requantized"]


def test_what_tunes_nothing_has_no_forms(tmp_path: Path) -> None:
    lived = live(tmp_path, "bnb-nf4", "none", measure=ALL)
    assert list(lived.values) == ["before"]
    assert [latency.form for latency in lived.result.latency] == ["base"]
    assert not any(note.startswith("not evaluated") for note in lived.result.notes)
