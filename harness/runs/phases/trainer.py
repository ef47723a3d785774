"""transformers' Trainer with a clock around every optimizer step, what each step read, and a stop at the first bad loss.

Its classes derive from transformers', so it imports torch when it is imported: `train` does that inside its functions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from harness.errors import Diverged, Unsupported
from harness.measure.clock import StepClock
from harness.measure.data_wait import DataWait
from harness.methods.base import Method
from harness.models.flops import Observation, TrainingFlops, observed, training_flops
from harness.records.refusals import disk_refusals_told
from harness.runs.phases.early_stopping import DevCourse
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet
from harness.tasks.batch_shape import BatchShape, batch_shape, real_tokens

if TYPE_CHECKING:
    from harness.runs.phases.forms import Phase


def training_arguments(train: TrainSettings, seed: int, folder: Path, device: str) -> transformers.TrainingArguments:
    """The suite's train section as TrainingArguments, with what the harness decides itself."""
    values = train.model_dump(exclude=set(train.OURS))
    if not values["gradient_checkpointing"]:
        del values["gradient_checkpointing"]  # transformers 5.23 warns of the name even where it is off
    else:
        values.setdefault("gradient_checkpointing_kwargs", {"use_reentrant": False})
    return transformers.TrainingArguments(
        **values,
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen, not averaged away
        label_names=["labels"],
    )


class _TimedLoader(torch.utils.data.DataLoader):
    """A DataLoader whose batches are waited for by the clock's reckoning."""

    waits: DataWait

    def __iter__(self) -> Any:
        return self.waits.timed(super().__iter__)


class MeasuredTrainer(transformers.Trainer):
    """A Trainer that tells what every optimizer step read and waited for, and lets the method have its say.

    samples_by_step: rows; shapes_by_step: of its batches; waits: for data; flops: of training, found out with the first batch,
    None before that and where torch compiles the model.
    """

    optimizer: torch.optim.Optimizer | None  # transformers declares no types for these
    model_accepts_loss_kwargs: bool

    def __init__(
        self, model: Any, arguments: transformers.TrainingArguments, training_set: TrainingSet, watch: Watch, method: Method, head: str
    ) -> None:
        """head: the kind of the task's, which says how the model's loss is normalised."""
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=training_set.rows,
            data_collator=training_set.collator,
            callbacks=[watch],
        )
        # transformers 5.23 takes every model with **kwargs for one that divides by num_items_in_batch. Classifiers and encoder-
        # decoders return their batch's mean: over k accumulated batches, gradients and losses would be k times too large. So would be what a method adds to the loss.
        self.model_accepts_loss_kwargs &= head == "causal-lm" and not method.adds_to_loss
        self.remove_callback(transformers.PrinterCallback)
        self.add_callback(_AfterStep(model, method))
        self._method = method
        self._encoder_decoder = bool(model.config.is_encoder_decoder)
        self._observation: Observation | None = None
        self.samples_by_step: list[int] = []
        self.shapes_by_step: list[list[BatchShape]] = []
        self.waits = DataWait()
        self.flops: TrainingFlops | None = None
        self._tokens: list[torch.Tensor] = []
        self._finite: list[torch.Tensor] = []
        watch.step_begins, watch.first_bad_step = self._begin_step, self._first_bad_step

    def get_train_dataloader(self) -> Any:
        """transformers' own; accelerate moves batches to the device around the loader that is timed, and a copy waits for the device."""
        loader: Any = super().get_train_dataloader()
        inner = loader.base_dataloader
        inner.__class__, inner.waits = _TimedLoader, self.waits
        return loader

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> torch.Tensor:
        """transformers' own; the count is a sum that stays on the device: reading it would make every step wait."""
        shape = batch_shape(inputs, self._encoder_decoder)
        self._tokens[-1] = self._tokens[-1] + real_tokens(inputs, self._encoder_decoder)
        self.samples_by_step[-1] += len(inputs.get("right", inputs["attention_mask"]))  # a question with all its answers is one sample
        self.shapes_by_step[-1].append(shape)
        if self.flops is not None or self.args.torch_compile:
            loss = super().training_step(model, inputs, *rest, **named)
        else:
            with observed(model) as self._observation:
                loss = super().training_step(model, inputs, *rest, **named)
            self.flops = training_flops(model, self._observation, shape, self._method.virtual_tokens)
            self._observation = None
        self._finite[-1] = self._finite[-1] & loss.isfinite()
        return loss

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        """The method's own loss where it has one."""
        loss = self._method.loss(model, inputs)
        self.loss_is_scaled_for_ga = None if loss is None else False  # a method's loss is its batch's mean, divided by the Trainer
        loss = super().compute_loss(model, inputs, *rest, **named) if loss is None else loss
        if self._observation is not None:
            self._observation.forward_is_over()
        return loss

    def create_optimizer(self, *rest: Any, **named: Any) -> torch.optim.Optimizer:
        """The optimizer over the method's own groups of parameters, where it has any."""
        groups = self._method.parameter_groups(self.model, self.args.learning_rate, self.args.weight_decay)
        if groups is not None and self.optimizer is None:
            kind, arguments = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            if {"params", "model", "optimizer_dict"} & set(arguments):
                raise Unsupported(f"optim {self.args.optim} groups the parameters by itself, and so does this method: choose another optimizer")
            self.optimizer = kind(groups, **arguments)
        return super().create_optimizer(*rest, **named)

    def tokens_by_step(self) -> list[int]:
        """Real tokens of every optimizer step, padding excluded; see harness.tasks.batch_shape."""
        return torch.stack(self._tokens).tolist() if self._tokens else []

    def _first_bad_step(self) -> int | None:
        """The first step whose loss was not finite, from 1; None without one."""
        finite = torch.stack(self._finite).tolist() if self._finite else []
        return None if all(finite) else finite.index(False) + 1

    def _begin_step(self) -> None:
        self._tokens.append(torch.zeros((), dtype=torch.long, device=self.args.device))
        self._finite.append(torch.ones((), dtype=torch.bool, device=self.args.device))
        self.samples_by_step.append(0)
        self.shapes_by_step.append([])
        self.waits.step_begins()


class _AfterStep(transformers.TrainerCallback):
    """Hands every optimizer step to the method, before the gradients are cleared."""

    def __init__(self, model: Any, method: Method) -> None:
        self._model, self._method = model, method

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """global_step still counts the steps before this one."""
        self._method.after_step(self._model, state.global_step + 1)


class DevWatch(transformers.TrainerCallback):
    """Has the dev rows evaluated between steps, in phases of their own, while the steps' clock is paused; stops when patience ends."""

    def __init__(self, course: DevCourse, clock: StepClock, phase: Phase) -> None:
        self._course, self._clock, self._phase = course, clock, phase

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Every eval_steps steps."""
        if self._course.due_after(state.global_step):
            self._evaluate(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Or every epoch; transformers calls it also after a last epoch that is not whole."""
        if self._course.due_after_epochs:
            self._evaluate(state, control)

    def _evaluate(self, state: Any, control: Any) -> None:
        with self._clock.paused(), self._phase("evaluate_dev"):
            self._course.evaluate(state.global_step)
        if self._course.out_of_patience:
            control.should_training_stop = True


class Watch(transformers.TrainerCallback):
    """Times the steps, tells progress(done, total) after each, and writes losses.

    losses: the file that gets one JSON line per logging interval (step, epoch, loss, learning_rate, grad_norm,
    seconds since training began). A loss that is not finite raises Diverged with its step, which is looked up only then.
    """

    def __init__(self, clock: StepClock, progress: Callable[[int, int], None], losses: Path) -> None:
        self.clock, self.progress, self.losses = clock, progress, losses
        self.step_begins: Callable[[], None] = lambda: None
        self.first_bad_step: Callable[[], int | None] = lambda: None
        self._began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the losses' clock."""
        self._began = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the step's clock."""
        self.step_begins()
        self.clock.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the step's clock."""
        self.clock.stop()
        self.progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Writes the losses down; raises Diverged."""
        entry = {"step": state.global_step, **(logs or {}), "seconds": round(time.monotonic() - self._began, 3)}
        with disk_refusals_told("losses", self.losses), self.losses.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        loss = entry.get("loss", entry.get("train_loss"))
        if loss is not None and not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} at step {self.first_bad_step() or state.global_step} of {state.max_steps}")
