"""The names and simple types of the installed transformers' TrainingArguments, read from its source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from harness.errors import HarnessError, nearest

#: What the harness decides itself, by reason; a `*` stands for the rest of a name.
DECIDED_BY_THE_HARNESS: Mapping[str, tuple[str, ...]] = {
    "the run directory says where things lie": (
        "output_dir", "overwrite_output_dir", "logging_dir", "run_name", "project", "trackio_*",
    ),
    "the suite's seeds axis says it": ("seed", "data_seed"),
    "the cell evaluates before and after training, not within": (
        "do_*", "eval_*", "prediction_loss_only", "batch_eval_metrics", "include_for_metrics",
        "load_best_model_at_end", "metric_for_best_model", "greater_is_better",
    ),
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

_TYPE_WORDS = {
    "bool": "true or false", "int": "an integer", "float": "a number", "str": "text", "list": "a list",
    "dict": "a mapping", "None": "null",
}  # fmt: skip


def check_extra_arguments(extras: Mapping[str, Any]) -> None:
    """Raises PydanticCustomError unless every name is a TrainingArguments name that a suite may give, of a fitting type."""
    problems = argument_problems(extras)
    if problems:
        text = "; ".join(f"{name}: {message}" for name, message in problems.items())
        raise PydanticCustomError("training_argument", "{text}", {"text": text, "problems": problems})


def argument_problems(extras: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with each of these training arguments, by name; empty when nothing is."""
    found = ((name, _problem(name, value)) for name, value in extras.items())
    return {name: message for name, message in found if message is not None}


def _problem(name: str, value: Any) -> str | None:
    reason = decided_reason(name)
    if reason is not None:
        return f"decided by the harness: {reason}"
    known = installed_arguments()
    if name not in known:
        allowed = [*(other for other in known if decided_reason(other) is None), "max_length"]
        guess = nearest(name, allowed)
        hint = f"; did you mean {guess}?" if guess else ""
        return f"unknown key: neither a setting of ours nor a TrainingArguments name of the installed transformers{hint}"
    types = known[name]
    if types and not _fits(value, types):
        words = " or ".join(_TYPE_WORDS[word] for word in _TYPE_WORDS if word in types)
        return f"expected {words}, found {value!r}"
    return None


def decided_reason(name: str) -> str | None:
    """Why a suite may not give this TrainingArguments name, or None where it may."""
    for reason, patterns in DECIDED_BY_THE_HARNESS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return reason
    return None


def _fits(value: Any, types: frozenset[str]) -> bool:
    if value is None:
        return "None" in types
    if isinstance(value, bool):
        return "bool" in types
    if isinstance(value, int):
        return bool({"int", "float"} & types)
    return type(value).__name__ in types


@lru_cache(maxsize=1)
def installed_arguments() -> dict[str, frozenset[str]]:
    """Name -> the simple types it takes (`bool`, `int`, `float`, `str`, `list`, `dict`, `None`; empty: not known).

    Raises HarnessError where transformers is missing or its TrainingArguments is not where it used to be.
    """
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise HarnessError("transformers is not installed: training arguments cannot be checked")
    source = Path(spec.submodule_search_locations[0]) / "training_args.py"
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError(f"cannot read {source}: {error.strerror}; is this transformers supported?") from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            return {name: frozenset(_simple_types(annotation)) for name, annotation in _fields(node)}
    raise HarnessError(f"{source} has no class TrainingArguments; is this transformers supported?")


def _fields(cls: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for node in cls.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            yield node.target.id, node.annotation


def _simple_types(annotation: ast.expr) -> Iterator[str]:
    """The simple types in an annotation: unions are taken apart, `Optional[X]` too; other classes are left out."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            yield from _simple_types(left)
            yield from _simple_types(right)
        case ast.Subscript(value=ast.Name(id="Optional" | "Union" as word), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            for part in parts:
                yield from _simple_types(part)
            if word == "Optional":
                yield "None"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=value)):
            yield type(value).__name__
        case ast.Subscript(value=container):
            yield from _simple_types(container)
        case ast.Name(id=name) if name in _TYPE_WORDS:
            yield name
        case ast.Constant(value=None):
            yield "None"
        case ast.Constant(value=str() as text):
            yield from _simple_types(ast.parse(text, mode="eval").body)
