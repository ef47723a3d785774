"""The phases of a cell on micro models: what training counts, what it refuses, what generation measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Diverged
from harness.measure.board import Board
from harness.needs import Machine
from harness.records.schema import CellResult
from harness.runs.cell import run_cell
from harness.runs.events import Event, PhaseEnded, ResultSoFar
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITE = """
name: phases
models: [{{source: "{model}", dtype: float32}}]
methods: [{method}]
tasks: [{task}]
train: {{max_steps: 6, max_length: 32, per_device_train_batch_size: 4, logging_steps: 2, {train}}}
measure: {{warmup_steps: {warmup}, {measure}}}
"""
SST2 = "{task: glue/sst2, data: micro, max_eval_samples: 20}"
WIKITEXT = "{task: wikitext2, data: micro, max_eval_samples: 2}"


def live(
    folder: Path,
    model: str = "micro:encoder",
    method: str = "lora",
    task: str = SST2,
    train: str = "",
    measure: str = "",
    warmup: int = 2,
    board: Board | None = None,
) -> tuple[CellResult, list[str]]:
    """(the cell's result, the phases in their order), run in this process."""
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(model=model, method=method, task=task, train=train, measure=measure, warmup=warmup))
    (cell,) = make_plan(load_suite(suite), Machine()).cells
    events: list[Event] = []
    (folder / "cell").mkdir(exist_ok=True)
    run_cell(cell, folder / "cell", "cpu", events.append, folder / "shared", board)
    results = [event.result for event in events if isinstance(event, ResultSoFar)]
    return results[-1], [event.reading.phase for event in events if isinstance(event, PhaseEnded)]


def test_a_tuned_cell_goes_through_its_phases_and_takes_the_first_evaluation_from_another(tmp_path: Path) -> None:
    result, phases = live(tmp_path)
    assert phases == ["load", "evaluate", "check", "attach", "train", "check", "evaluate"]
    again, phases = live(tmp_path)
    assert phases == ["load", "check", "attach", "train", "check", "evaluate"]
    assert [metric.value for metric in again.metrics] == [metric.value for metric in result.metrics], "same seed, same numbers"
    assert any("another cell of this run" in note for note in again.notes)


class Kept(Board):
    """A board that keeps what was written on it."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.written: list[int | None] = []

    def phase(self, interrupts: bool) -> None:
        super().phase(interrupts)
        self.written.append(self.read().step)

    def step(self, done: int) -> None:
        super().step(done)
        self.written.append(self.read().step)


def test_the_sampler_is_shown_every_optimizer_step_and_none_outside_of_training(tmp_path: Path) -> None:
    board = Kept()
    _, phases = live(tmp_path, board=board)
    assert phases == ["load", "evaluate", "check", "attach", "train", "check", "evaluate"]
    assert board.written == [None, None, None, None, None, 1, 2, 3, 4, 5, 6, None, None]


def test_training_counts_steps_samples_and_real_tokens(tmp_path: Path) -> None:
    result, _ = live(tmp_path, train="gradient_accumulation_steps: 3")
    training = result.training
    assert training is not None
    assert (training.steps, training.samples) == (6, 6 * 3 * 4)
    assert training.samples < training.tokens < training.samples * 32
    assert training.tokens_per_second is not None
    assert training.samples_per_second is not None
    assert training.tokens_per_second / training.samples_per_second == pytest.approx(training.tokens / training.samples, rel=0.2)


@pytest.mark.parametrize(("model", "task"), [("micro:encoder", "glue/sst2"), ("micro:decoder", "wikitext2")])
def test_the_loss_over_accumulated_batches_is_their_mean_and_not_their_sum(model: str, task: str, tmp_path: Path) -> None:
    losses = []
    for accumulated in (1, 2):  # both log the loss of all eight rows, of a model that a learning rate of 0 leaves as it is
        train = f"learning_rate: 0, gradient_accumulation_steps: {accumulated}"
        small = f"{{task: {task}, data: micro, max_train_samples: 8, max_eval_samples: 2}}"
        result, _ = live(tmp_path, model, "{method: lora, target_modules: all-linear}", small, train)
        assert result.training is not None
        losses.append(result.training.final_loss)
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


@pytest.mark.parametrize("optim", ["adafactor", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_other_optimizers_train_and_one_that_cannot_page_here_says_so(optim: str, tmp_path: Path) -> None:
    result, _ = live(tmp_path, train=f"optim: {optim}")
    assert result.training is not None
    assert result.training.final_loss is not None
    assert any("pages nothing on a CPU" in note for note in result.notes) == optim.startswith("paged_")


def test_all_steps_in_the_warm_up_leave_no_rates_and_a_note(tmp_path: Path) -> None:
    result, _ = live(tmp_path, warmup=6)
    assert result.training is not None
    assert (result.training.steps, result.training.step_ms, result.training.tokens_per_second) == (6, None, None)
    assert any("warmup_steps" in note for note in result.notes)


def test_a_loss_that_is_not_finite_ends_the_cell_with_the_step(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf) at step \d+ of 6"):
        live(tmp_path, method="full", train="learning_rate: 1e30, max_grad_norm: 0")


def test_a_decoder_classifies_with_padding_of_its_own(tmp_path: Path) -> None:
    result, _ = live(tmp_path, "micro:decoder", "{method: lora, target_modules: all-linear}")
    assert {metric.when for metric in result.metrics} == {"before", "after"}
