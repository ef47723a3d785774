"""The names and simple types of the installed transformers' TrainingArguments, read from its source without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from typing import Any

from harness.declared import Declared, declared_fields
from harness.errors import MOST_PROBLEMS, nearest

#: What the harness decides itself, by reason; a `*` stands for the rest of a name.
DECIDED_BY_THE_HARNESS: Mapping[str, tuple[str, ...]] = {
    "the run directory says where things lie": (
        "output_dir", "overwrite_output_dir", "logging_dir", "run_name", "project", "trackio_*",
    ),
    "the suite's seeds axis says it": ("seed", "data_seed"),
    "the cell evaluates before and after training; dev rows within, every eval_steps steps or every epoch": (
        "do_*", "eval_strategy", "eval_delay", "eval_on_start", "eval_do_*", "eval_use_*", "eval_accumulation_steps",
        "prediction_loss_only", "batch_eval_metrics", "include_for_metrics",
    ),
    "every metric says so itself": ("greater_is_better",),
    "evaluation runs in the model entry's dtype": ("bf16_full_eval", "fp16_full_eval"),
    "the method's weights are saved once, after training": (
        "save_*", "push_to_hub", "hub_*", "enable_jit_checkpoint",
    ),
    "a cell is repeated whole, never resumed within": (
        "resume_from_checkpoint", "restore_callback_states_from_checkpoint", "ignore_data_skip",
    ),
    "losses go to training.jsonl every logging_steps, progress to the terminal": (
        "report_to", "disable_tqdm", "log_level*", "log_on_each_node", "logging_strategy", "logging_first_step",
        "logging_nan_inf_filter",
    ),
    "the harness measures memory and counts tokens itself": ("skip_memory_metrics", "include_num_input_tokens_seen"),
    "--device and one process per cell say where training runs": (
        "use_cpu", "no_cuda", "use_mps_device", "local_rank", "ddp_*", "fsdp*", "deepspeed", "parallelism_config",
        "accelerator_config", "average_tokens_across_devices",
    ),
    "the batch size is part of what is compared": ("auto_find_batch_size",),
    "the task names its columns": ("remove_unused_columns", "label_names"),
    "give gradient_checkpointing, the name that every supported transformers knows": ("activation_checkpointing*",),
}  # fmt: skip


def allowed_arguments() -> dict[str, Declared]:
    """The installed TrainingArguments that a suite may give, by name."""
    return {name: declared for name, declared in installed_arguments().items() if decided_reason(name) is None}


def argument_problems(extras: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with each of these training arguments, by name, of very many the first; empty when nothing is."""
    found = ((name, _problem(name, value)) for name, value in extras.items())
    wrong = ((name, message) for name, message in found if message is not None)
    return dict(islice(wrong, MOST_PROBLEMS + 1))


def _problem(name: str, value: Any) -> str | None:
    reason = decided_reason(name)
    if reason is not None:
        return f"decided by the harness: {reason}"
    known = installed_arguments()
    if name not in known:
        guess = nearest(name, [*allowed_arguments(), "max_length"])
        hint = f"; did you mean {guess}?" if guess else ""
        return f"unknown key: neither a setting of ours nor a TrainingArguments name of the installed transformers{hint}"
    return known[name].misfit(value)


def decided_reason(name: str) -> str | None:
    """Why a suite may not give this TrainingArguments name, or None where it may."""
    for reason, patterns in DECIDED_BY_THE_HARNESS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return reason
    return None


@lru_cache(maxsize=1)
def installed_arguments() -> dict[str, Declared]:
    """The fields of the installed TrainingArguments by name.

    Raises HarnessError where transformers is missing or its TrainingArguments is not where it used to be.
    """
    return declared_fields("transformers.training_args", "TrainingArguments")
