"""What training tells of its speed, by the real Trainer on tiny models: tokens, padding, waits for data, model FLOPs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.measure.cards import card_of
from harness.measure.clock import StepClock
from harness.runs.phases import throughput
from harness.runs.phases.throughput import computed_dtype
from harness.runs.phases.trainer import MeasuredTrainer, Watch, training_arguments
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet
from harness.tasks.batches import ChoiceCollator, PaddingCollator
from tests.methods.trials import method, trial
from tests.runs.lived import live

ROWS = [{"input_ids": [7] * length, "labels": length % 2} for length in (3, 5, 8, 8)]
COLLATE = PaddingCollator(0)


def trained(
    folder: Path, family: str = "roberta", rows: list[Any] = ROWS, collate: Any = COLLATE, name: str = "full", warmup: int = 1, device: str = "cpu", **train: Any
) -> tuple[dict[str, Any], list[str]]:
    """The record's fields of throughput after four steps of a batch of four rows, and the notes."""
    tried = trial(method(name), family, folder)
    settings = TrainSettings.model_validate({"max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-4, **train})
    clock = StepClock(device, warmup)
    watch = Watch(clock, lambda done, total: None, folder / "losses.jsonl")
    arguments = training_arguments(settings, 0, folder, device)
    trainer = MeasuredTrainer(tried.attached().to(device), arguments, TrainingSet(rows, collate), watch, tried.method, tried.attachment.head)
    trainer.train()
    notes: list[str] = []
    return throughput.of(trainer, clock, notes), notes


def test_padded_tokens_stand_beside_real_ones(tmp_path: Path) -> None:
    found, notes = trained(tmp_path)
    assert (found["tokens"], found["padded_tokens"], found["samples"]) == (4 * 24, 4 * 4 * 8, 16)
    assert found["padded_tokens_per_second"] / found["tokens_per_second"] == pytest.approx(32 / 24)
    assert notes == []


def test_an_encoder_decoder_counts_both_sides_of_both(tmp_path: Path) -> None:
    rows = [{"input_ids": [7] * length, "labels": [8] * 2} for length in (3, 5, 8, 8)]
    found, _ = trained(tmp_path, "bart", rows)
    assert (found["tokens"], found["padded_tokens"]) == (4 * (24 + 8), 4 * 4 * (8 + 2))


def test_questions_with_all_their_answers_are_samples_and_every_answer_is_read(tmp_path: Path) -> None:
    answers = [{"input_ids": [7, 8, 9], "labels": [-100, 8, 9]}, {"input_ids": [7, 8], "labels": [-100, 8]}]
    rows = [{"choices": answers, "right": 0}] * 4
    found, _ = trained(tmp_path, "llama", rows, lambda batch: {name: ChoiceCollator(COLLATE)(batch)[name] for name in ("input_ids", "attention_mask", "labels")})
    assert (found["tokens"], found["padded_tokens"]) == (4 * 4 * 5, 4 * 8 * 3)


def test_rows_of_one_length_have_no_padding(tmp_path: Path) -> None:
    result = live(tmp_path, "none", measure="forms: [unmerged]").result
    assert result.training is not None
    assert result.training.padded_tokens == result.training.tokens


def test_waits_for_data_are_told_apart_and_belong_to_optimizer_steps(tmp_path: Path) -> None:
    def slow(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        time.sleep(0.03)
        return COLLATE(rows)

    rows = ROWS * 8
    once, _ = trained(tmp_path, rows=rows, collate=slow)
    twice, _ = trained(tmp_path, rows=rows, collate=slow, gradient_accumulation_steps=2)
    assert once["data_wait_ms"].p50 >= 30
    assert twice["data_wait_ms"].p50 >= 60, "both batches of a step"
    assert 0 < once["data_wait_share"] < 1


def test_waits_for_loading_processes_are_told_too(tmp_path: Path) -> None:
    found, _ = trained(tmp_path, rows=ROWS * 4, dataloader_num_workers=1)
    assert found["data_wait_ms"] is not None
    assert 0 < found["data_wait_share"] < 1


def test_without_steps_after_warm_up_rates_and_waits_are_null_and_counts_are_there(tmp_path: Path) -> None:
    found, notes = trained(tmp_path, warmup=4)
    rates = ("tokens_per_second", "padded_tokens_per_second", "samples_per_second", "step_ms", "data_wait_ms", "data_wait_share", "mfu")
    assert [found[name] for name in rates] == [None] * len(rates)
    assert found["padded_tokens"] == 128
    assert found["flops_per_token"] > 0
    assert any("warmup_steps" in note for note in notes)


def test_batches_without_real_tokens_divide_nothing_by_0(tmp_path: Path) -> None:
    def masked(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = COLLATE(rows)
        return {**batch, "attention_mask": torch.zeros_like(batch["attention_mask"])}

    found, _ = trained(tmp_path, collate=masked)
    assert (found["tokens"], found["tokens_per_second"], found["padded_tokens"]) == (0, 0.0, 128)


def test_model_flops_are_the_same_with_accumulation_and_checkpointing_and_less_where_less_trains(tmp_path: Path) -> None:
    full, _ = trained(tmp_path)
    per_token = full["flops_per_token"]
    assert trained(tmp_path, rows=ROWS * 2, gradient_accumulation_steps=2)[0]["flops_per_token"] == pytest.approx(per_token)
    assert trained(tmp_path, gradient_checkpointing=True)[0]["flops_per_token"] == pytest.approx(per_token)
    assert per_token / 3 < trained(tmp_path, name="bitfit")[0]["flops_per_token"] < per_token


def test_a_cpu_has_no_peak_and_nobody_is_told_so(tmp_path: Path) -> None:
    found, notes = trained(tmp_path)
    assert (found["mfu"], found["peak_flops"]) == (None, None)
    assert notes == []


@pytest.mark.parametrize(
    ("weights", "bf16", "fp16", "expected"),
    [(torch.float32, False, False, "fp32"), (torch.float32, True, False, "bf16"), (torch.float32, False, True, "fp16"),
     (torch.bfloat16, False, False, "bf16"), (torch.float16, False, False, "fp16"), (torch.float64, False, False, None)],
)  # fmt: skip
def test_a_model_computes_in_autocast_s_dtype_or_its_own(weights: torch.dtype, bf16: bool, fp16: bool, expected: str | None) -> None:
    assert computed_dtype(torch.nn.Linear(4, 4).to(weights), bf16, fp16) == expected


def test_what_is_trained_in_float32_does_not_decide_the_dtype_of_a_frozen_half_precision_model() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4).to(torch.bfloat16).requires_grad_(False), torch.nn.Linear(64, 64))
    assert computed_dtype(model, bf16=False, fp16=False) == "bf16"


@pytest.mark.gpu
def test_on_a_card_of_the_table_the_share_of_its_peak_is_told(tmp_path: Path) -> None:
    found, notes = trained(tmp_path, device="cuda", bf16=True)
    if card_of(torch.cuda.get_device_name()) is None:
        assert found["mfu"] is None
        assert any("has no peak" in note for note in notes)
    else:
        assert 0 < found["mfu"] < 1
        assert found["peak_flops"] > 1e12
    assert 0 <= found["data_wait_share"] < 1


@pytest.mark.gpu
def test_what_the_device_takes_is_no_wait_for_data(tmp_path: Path) -> None:
    """A copy to the device waits for the tenth of a second that stands in its queue; the loader does not."""

    def queues_work(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        torch.cuda._sleep(200_000_000)
        return COLLATE(rows)

    found, _ = trained(tmp_path, device="cuda", rows=ROWS * 3, collate=queues_work, max_steps=12, warmup=2)
    assert found["data_wait_ms"].p50 < 20
    assert found["data_wait_share"] < 0.5
