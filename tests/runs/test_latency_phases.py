"""What cells measure of latency: sizes, forms, the base, and what they have no room for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lived import AFTERWARDS, LORA, TIED, Lived, live

from harness.errors import Unsupported
from harness.needs import Machine
from harness.records.measured import Latency
from harness.records.schema import CellResult
from harness.runs.cell import run_cell
from harness.runs.events import Event, ResultSoFar
from harness.runs.phases import generate
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SIZES = "batch_sizes: [1, 2], prompt_tokens: [8, 4], new_tokens: 3, repeats: 2"
PREFIX = "{method: prompt-tuning, num_virtual_tokens: 8}"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return live(tmp_path_factory.mktemp("decoder"), "none", steps=1, measure=f"forms: [unmerged, merged], latency: {{{SIZES}, base: true}}")


def planned(folder: Path, latency: str, model: str = "micro:decoder", method: str = "none", task: str = "{task: wikitext2, data: micro}", further: str = "") -> Cell:
    suite = folder / "suite.yaml"
    suite.write_text(f"""
name: sizes
models: [{{source: "{model}", dtype: float32}}]
methods: [{method}]
tasks: [{task}]
train: {{max_steps: 1, max_length: 8, per_device_train_batch_size: 2}}
measure: {{warmup_steps: 0, latency: {{{latency}}}, {further}}}
""")
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    return cell


def lived_through(cell: Cell, folder: Path) -> CellResult:
    """What comes of a cell, run in this process."""
    events: list[Event] = []
    (folder / "cell").mkdir()
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared")
    return [event.result for event in events if isinstance(event, ResultSoFar)][-1]


def test_every_batch_size_and_length_is_measured_in_every_form_and_of_the_base(decoder: Lived) -> None:
    found = [(entry.form, entry.batch_size, entry.prompt_tokens) for entry in decoder.result.latency]
    sizes = [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert found == [(form, *size) for form in ("base", "unmerged", "merged") for size in sizes]
    assert {(entry.new_tokens, entry.repeats) for entry in decoder.result.latency} == {(3, 2)}
    assert all(entry.e2e_ms is not None for entry in decoder.result.latency)


def test_the_base_has_a_phase_of_its_own_before_the_method_is_attached(decoder: Lived) -> None:
    assert decoder.phases[-9:] == ["generate_base", "attach", "train", "check", "evaluate", "generate", "merge", "evaluate_merged", "generate_merged"]


def test_the_base_reads_the_same_prompts_as_the_tuned_model_and_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[bool, torch.Tensor]] = []
    real = generate.generation_latency

    def watched(model: Any, *given: Any, **named: Any) -> Latency:
        hook = model.register_forward_pre_hook(lambda module, args, kwargs: measured.append((hasattr(model, "peft_config"), kwargs["input_ids"])), with_kwargs=True)
        found = real(model, *given, **named)
        hook.remove()
        return found

    monkeypatch.setattr(generate, "generation_latency", watched)
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    settings = "latency: {prompt_tokens: 6, new_tokens: 1, repeats: 1"
    with_base = live(tmp_path / "with", "none", steps=2, measure=f"{settings}, base: true}}")
    assert [attached for attached, _ in measured] == [False, False, True, True], "base and tuned, each once untimed and once timed"
    assert all(torch.equal(prompt, measured[0][1]) for _, prompt in measured)
    assert with_base.values == live(tmp_path / "without", "none", steps=2, measure=f"{settings}}}").values, "measuring the base changes nothing that follows"


def test_what_tunes_nothing_is_the_base(tmp_path: Path) -> None:
    lived = live(tmp_path, "none", "none", measure="latency: {batch_sizes: [1, 2], prompt_tokens: 8, new_tokens: 4, repeats: 2, base: true}")
    assert lived.phases == ["load", "evaluate", "attach", "generate"]
    assert [(entry.form, entry.batch_size, entry.prompt_tokens, entry.new_tokens) for entry in lived.result.latency] == [("base", 1, 8, 4), ("base", 2, 8, 4)]


def test_a_classifier_is_timed_batch_by_batch_with_its_base(tmp_path: Path) -> None:
    lived = live(tmp_path, "none", kind="encoder", steps=1, measure="latency: {batch_sizes: [1, 3], prompt_tokens: [5, 9], repeats: 2, base: true}")
    found = [(entry.form, entry.batch_size, entry.tokens, entry.repeats) for entry in lived.result.batch_latency]
    assert found == [(form, batch, tokens, 2) for form in ("base", "unmerged") for batch in (1, 3) for tokens in (5, 9)]
    assert lived.result.latency == []


@pytest.mark.slow
def test_an_encoder_decoder_is_timed_from_its_encoder_to_its_last_token(tmp_path: Path) -> None:
    cell = planned(tmp_path, "batch_sizes: [2], prompt_tokens: [4, 9], new_tokens: 3, repeats: 1, base: true", "micro:seq2seq", "lora", "synthetic", "forms: [unmerged, merged]")
    found = [(entry.form, entry.batch_size, entry.prompt_tokens, entry.new_tokens) for entry in lived_through(cell, tmp_path).latency]
    assert found == [(form, 2, tokens, 3) for form in ("base", "unmerged", "merged") for tokens in (4, 9)]


def test_a_form_that_turns_out_not_to_be_leaves_the_others_where_a_task_has_no_metrics(tmp_path: Path) -> None:
    cell = planned(tmp_path, "prompt_tokens: 4, new_tokens: 2, repeats: 1", method=TIED, task="synthetic", further="forms: [unmerged, merged]")
    result = lived_through(cell, tmp_path)
    assert [entry.form for entry in result.latency] == ["unmerged"]
    assert any(note.startswith("not evaluated merged: lora on tied embeddings cannot be merged") for note in result.notes)


def test_a_model_that_is_quantized_after_tuning_has_no_base_and_says_why(tmp_path: Path) -> None:
    lived = live(tmp_path, AFTERWARDS, steps=1, measure="latency: {prompt_tokens: 4, new_tokens: 2, repeats: 1, base: true}")
    assert [entry.form for entry in lived.result.latency] == ["unmerged"]
    assert "latency: no base, because the model is quantized after tuning only, and unquantized before that" in lived.result.notes


@pytest.mark.parametrize(
    ("latency", "method", "reason"),
    [
        ("prompt_tokens: [4, 500], new_tokens: 100", "none", "measure.latency needs 600 positions (prompt_tokens 500, new_tokens 100); the model's context is 512"),
        (
            "prompt_tokens: 500, new_tokens: 12", PREFIX,
            "measure.latency needs 520 positions (prompt_tokens 500, new_tokens 12, 8 virtual tokens of prompt-tuning); the model's context is 512",
        ),
    ],
)  # fmt: skip
def test_the_plan_refuses_lengths_beyond_the_context(latency: str, method: str, reason: str, tmp_path: Path) -> None:
    assert planned(tmp_path, latency, method=method).unsupported == reason


def test_what_just_fits_is_planned(tmp_path: Path) -> None:
    assert planned(tmp_path, "prompt_tokens: 500, new_tokens: 12").unsupported is None
    assert planned(tmp_path, "prompt_tokens: 500, new_tokens: 4", method=PREFIX).unsupported is None
    assert planned(tmp_path, "prompt_tokens: 100, new_tokens: 5000", "micro:encoder", task="{task: glue/sst2, data: micro}").unsupported is None, "a classifier generates nothing"


def test_a_cell_refuses_them_before_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.suite.cross.untimeable", lambda *given: None)  # as for a model that was not downloaded when planned
    with pytest.raises(Unsupported, match=r"needs 600 positions .* context is 512"):
        live(tmp_path, "none", LORA, measure="latency: {prompt_tokens: 500, new_tokens: 100}")
    assert not list(tmp_path.glob("*/training.jsonl"))
