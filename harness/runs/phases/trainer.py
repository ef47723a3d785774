"""transformers' Trainer with a clock around every optimizer step, token counts, and a stop at the first bad loss."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Diverged
from harness.measure.clock import StepClock
from harness.suite.settings import TrainSettings
from harness.tasks.base import TrainingSet

if TYPE_CHECKING:
    from transformers import TrainingArguments


def training_arguments(train: TrainSettings, seed: int, folder: Path, device: str) -> TrainingArguments:
    """The suite's train section as TrainingArguments, with what the harness decides itself."""
    import transformers

    values = train.model_dump(exclude={"max_length"})
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


def measured_trainer(
    model: Any,
    arguments: TrainingArguments,
    training_set: TrainingSet,
    clock: StepClock,
    progress: Callable[[int, int], None],
    losses: Path,
) -> Any:
    """A Trainer that also has `tokens_by_step()` and `samples_by_step` (one entry per optimizer step).

    losses: the file that gets one JSON line per logging interval (step, epoch, loss, learning_rate, grad_norm,
    seconds since the first step). progress(done, total) is called after every step.
    """
    import torch
    import transformers

    class MeasuredTrainer(transformers.Trainer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.samples_by_step: list[int] = []
            self._tokens: list[torch.Tensor] = []

        def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> torch.Tensor:
            # A sum that stays on the device: reading it here would make every step wait for the last one.
            mask = inputs["attention_mask"]
            self._tokens[-1] = self._tokens[-1] + mask.sum()
            self.samples_by_step[-1] += mask.shape[0]
            return super().training_step(model, inputs, *rest, **named)

        def begin_step(self) -> None:
            self._tokens.append(torch.zeros((), dtype=torch.long, device=self.args.device))
            self.samples_by_step.append(0)

        def tokens_by_step(self) -> list[int]:
            return torch.stack(self._tokens).tolist() if self._tokens else []

    class Watch(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.started = time.monotonic()

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.begin_step()
            clock.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock.stop()
            progress(state.global_step, state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
            entry = {"step": state.global_step, **(logs or {}), "seconds": round(time.monotonic() - self.started, 3)}
            with losses.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            loss = entry.get("loss", entry.get("train_loss"))
            if loss is not None and not math.isfinite(loss):
                raise Diverged(f"the training loss is {loss} at step {state.global_step} of {state.max_steps}")

    losses.unlink(missing_ok=True)
    trainer = MeasuredTrainer(
        model=model,
        args=arguments,
        train_dataset=training_set.rows,
        data_collator=training_set.collator,
        callbacks=[Watch()],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer
