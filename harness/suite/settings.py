"""The suite's sections that are not axes: train, measure and limits. Their defaults live here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from harness.declared import Declared
from harness.fields import Config, OpenConfig, identity, later, runtime
from harness.records.parts import FORMS, Form, PhaseName
from harness.suite.byte_counts import Bytes
from harness.suite.training_arguments import allowed_arguments, argument_problems

AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]


class TrainSettings(OpenConfig):
    """How cells are trained: transformers' TrainingArguments by their own names, and `max_length`.

    The fields declared here have a default of ours; every other TrainingArguments name of the installed
    transformers may be given too and is handed over verbatim. What the harness itself decides (output_dir,
    seed, saving, reporting) is refused. Early stopping and the best state are ours, under transformers' names.
    """

    OURS: ClassVar[frozenset[str]] = frozenset({
        "max_length", "eval_steps", "metric_for_best_model", "load_best_model_at_end", "early_stopping_patience", "early_stopping_threshold",
    })  # fmt: skip

    max_length: int = identity(256, ge=1, description="longest training and classification input in tokens, at most the model's context; ours, not transformers'")
    num_train_epochs: float = identity(3.0, gt=0, description="passes over the training rows, unless max_steps is given")
    max_steps: int = identity(-1, ge=-1, description="optimizer steps; -1: as num_train_epochs says")
    per_device_train_batch_size: int = identity(8, ge=1, description="rows per forward pass in training")
    per_device_eval_batch_size: int = identity(16, ge=1, description="rows per forward pass in evaluation")
    gradient_accumulation_steps: int = identity(1, ge=1, description="forward passes per optimizer step")
    learning_rate: float = identity(5e-5, ge=0, description="peak learning rate")
    lr_scheduler_type: str = identity("linear", description="transformers' scheduler name")
    warmup_steps: float = identity(0, ge=0, description="steps of linear warm-up; below 1: a share of all steps")
    weight_decay: float = identity(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = identity(1.0, ge=0, description="gradient clipping by global norm; 0: none")
    optim: str = identity("adamw_torch", description="transformers' optimizer name, paged_adamw_32bit and paged_adamw_8bit included")
    bf16: bool = identity(False, description="autocast to bfloat16 in training")
    fp16: bool = identity(False, description="autocast to float16 with loss scaling in training")
    gradient_checkpointing: bool = identity(False, description="recompute activations in the backward pass")
    eval_steps: int | None = identity(None, ge=1, description="optimizer steps between two evaluations of the dev rows, where the task has any; null: every epoch")
    metric_for_best_model: str | None = identity(None, description="the metric of dev rows that says which state is best; null: the task's first, `loss` where it has none")
    load_best_model_at_end: bool = identity(False, description="go on after training with the state that scored best on the dev rows, not with the last one")
    early_stopping_patience: int | None = identity(None, ge=1, description="stop after this many evaluations of the dev rows in a row that are no better than the best; null: never")
    early_stopping_threshold: float = identity(0.0, ge=0, description="by how much an evaluation must be better to count as better for the patience")
    logging_steps: int = runtime(10, ge=1, description="optimizer steps between two losses in training.jsonl")

    @classmethod
    def further_fields(cls, given: Mapping[str, Any]) -> dict[str, Declared]:
        """Every other TrainingArguments field that a suite may give."""
        return {name: declared for name, declared in allowed_arguments().items() if name not in cls.model_fields}

    @classmethod
    def further_problems(cls, given: Mapping[str, Any], beside: Sequence[str] = ()) -> dict[str, str]:
        """What is wrong with each further TrainingArguments value."""
        return argument_problems({name: value for name, value in given.items() if name not in cls.model_fields})


class LatencySettings(Config):
    """Speed of answering, measured at every batch size and prompt length: of generation, and for a model with a task head of a batch."""

    batch_sizes: list[AtLeastOne] = identity(default_factory=lambda: [1], min_length=1, description="sequences at once, one measurement each")
    prompt_tokens: AtLeastOne | list[AtLeastOne] = identity(64, description="length of the prompt in tokens, or of every row of a model with a task head; of a list, one measurement each")
    new_tokens: int = identity(64, ge=1, description="tokens generated greedily after it, whatever they are")
    repeats: int = identity(10, ge=1, description="timed repetitions, after those that are not timed")
    warmup_repeats: int = later(1, ge=1, description="repetitions before them that are not timed")
    base: bool = later(False, description="measure a tuned cell's model without its method too, before that is attached (form `base`)")

    @field_validator("prompt_tokens")
    @classmethod
    def _one_length_has_one_way_to_be_written(cls, lengths: int | list[int]) -> int | list[int]:
        """Each once, from short to long, and a single one as a plain number: what is the same work is the same cell."""
        if isinstance(lengths, int):
            return lengths
        if not lengths:
            raise ValueError("prompt_tokens: a list needs at least one length")
        once = sorted(set(lengths))
        return once if len(once) > 1 else once[0]

    @property
    def prompt_lengths(self) -> list[int]:
        """All lengths of prompts."""
        return [self.prompt_tokens] if isinstance(self.prompt_tokens, int) else self.prompt_tokens

    def length(self, generates: bool, encoder_decoder: bool) -> int:
        """The most positions that a measurement takes of a model's context; an encoder-decoder reads the prompt and writes in another stack."""
        longest = max(self.prompt_lengths)
        if not generates:
            return longest
        return max(longest, self.new_tokens) if encoder_decoder else longest + self.new_tokens


class FitSettings(Config):
    """What fits: the largest batch and the longest sequence, searched in processes of their own after the cell has ended."""

    batch_size: int = identity(1024, ge=1, description="largest per_device_train_batch_size tried")
    max_length: int | None = identity(None, ge=1, description="longest train.max_length tried; null: the model's context, or 8192 tokens where it has none")
    steps: int = identity(2, ge=2, description="optimizer steps of a trial: the optimizer's states are there from the second on")


def _fit_in_a_word(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class MeasureSettings(Config):
    """What is measured and how closely."""

    warmup_steps: int = identity(5, ge=0, description="optimizer steps dropped before step times and rates are taken")
    sample_ms: float = runtime(10.0, gt=0, description="period of the telemetry sampler in milliseconds")
    latency: LatencySettings | None = identity(None, description="measure how fast the model answers; null: don't")
    probe: bool = later(False, description="try the method out instead of training to the end: does it save, reload, turn off, merge?")
    fit: Annotated[FitSettings | None, BeforeValidator(_fit_in_a_word, json_schema_input_type=FitSettings | bool | None)] = later(
        None, description="search the largest batch size and the longest sequence that can be trained in this memory: true, or the bounds of the search"
    )
    forms: list[Form] = later(
        ["unmerged"], min_length=1, description="forms in which the tuned model is evaluated, and its latency measured: `unmerged` as trained, "
        "`merged` into the dequantized base, `merged-requantized` under the scheme again"
    )  # fmt: skip

    @field_validator("forms")
    @classmethod
    def _in_the_order_of_a_life(cls, forms: list[Form]) -> list[Form]:
        """Each once, so that another order is not another cell."""
        return [form for form in FORMS if form in forms]


class LimitSettings(Config):
    """When a cell is given up: then its outcome is `timeout`. And how much memory it may take: beyond that, `oom`."""

    DEFAULT_CELL_SECONDS: ClassVar[float] = 24 * 3600.0

    cell_seconds: float | None = runtime(DEFAULT_CELL_SECONDS, gt=0, description="longest a cell may take; null: for ever")
    phase_seconds: dict[PhaseName, float] = runtime(default_factory=dict, description="longest that single phases may take, by phase name")
    memory_bytes: Bytes | None = later(
        None, description="most memory a cell may take: bytes, or an amount (16 GB, 16 GiB); of torch's allocator on CUDA, of private memory beyond the imports' on a CPU; null: all there is"
    )
