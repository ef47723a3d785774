"""The result files of PEFT's method comparison (huggingface/peft, method_comparison/MetaMathQA/results), written and read.

Source of the keys: method_comparison/MetaMathQA/utils.py (`log_results`) and its stored results of July 2026; older files say `cuda_memory_`
where newer ones say `accelerator_memory_`, and both are read. What a record does not have is null, never a made-up number; a cell without a number
that PEFT's own table (method_comparison/processing.py, `load_df`) makes whole is left out, because one such file keeps it from loading any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.columns import Row
from harness.analysis.run import Run
from harness.errors import DataError
from harness.interop.base import EXPORTS, IMPORTS, Asked, Export, Exported, Import, Imported, through
from harness.records.schema import Record
from harness.records.store import write_atomically

PACKAGES = ("transformers", "peft", "datasets", "bitsandbytes", "torch")
SUCCESS = "success"
PEFTS_DATA = {"metamath", "gsm8k"}
URL = "https://github.com/huggingface/peft/tree/main/method_comparison"
SCHEMES: Mapping[str, str] = {"int8": "bnb-int8", "int4": "bnb-fp4"}  # BitsAndBytesConfig(load_in_4bit=True) alone is FP4
OWN_METHODS: Mapping[str, str] = {  # PEFT type -> method; the others are reached through `peft`
    "LORA": "lora", "IA3": "ia3", "ADALORA": "adalora", "PREFIX_TUNING": "prefix-tuning", "PROMPT_TUNING": "prompt-tuning", "P_TUNING": "p-tuning",
}  # fmt: skip
STATED = ("r", "use_dora", "use_rslora")  # fields of a LoRA that a cell must agree in
WHOLE = (  # keys of train_info that PEFT's table cannot be without
    "accelerator_memory_reserved_avg", "accelerator_memory_max", "accelerator_memory_reserved_99th", "train_time", "file_size", "num_trainable_params",
)  # fmt: skip
VALUES: Mapping[str, tuple[str, ...]] = {  # our metric -> PEFT's key in train_info, newer name first
    "torch_reserved_max_bytes": ("accelerator_memory_max", "cuda_memory_max"),
    "torch_reserved_avg_bytes": ("accelerator_memory_reserved_avg", "cuda_memory_reserved_avg"),
    "train_seconds": ("train_time",),
    "sizes.adapter_bytes": ("file_size",),
    "parameters.trainable": ("num_trainable_params",),
}


@EXPORTS.register("peft-method-comparison")
class MethodComparison(Export):
    """One JSON per cell tuned on a GPU that has an accuracy, named as PEFT names it: `<method>--<experiment>.json`."""

    def write(self, run: Run, out: Path) -> Exported:
        """Writes <out>/<method>--<model>-<scheme>-<id>-seed<n>-<cell>.json for every cell."""
        left_out: list[str] = []
        paths = []
        for row in through(run, left_out):
            if row.record.training is None or row.reading("accuracy") is None:
                left_out.append(f"{row.name()} has no {'accuracy' if row.record.training else 'training'}")
                continue
            values = result_of(row, run.path)
            missing = list(_missing(values))
            if missing:
                left_out.append(f"{row.name()} (on {row.record.environment.device}) has no {', '.join(missing)}: PEFT's table loads no file without")
                continue
            paths.append(out / f"{values['run_info']['experiment_name'].replace('/', '--')}.json")
            write_atomically(paths[-1], json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return Exported(paths, left_out)


def result_of(row: Row, run: Path) -> dict[str, Any]:
    """One tuned cell as PEFT's result file."""
    record, cell = row.record, row.record.cell
    method = str(row.config("method", "method") or cell.method)
    experiment = "-".join([cell.model, cell.quantization, cell.method, cell.task.replace("/", "-"), f"seed{cell.seed}", cell.id[-8:]])
    return {
        "run_info": {
            "created_at": record.started.astimezone(UTC).replace(microsecond=0).isoformat(),  # as PEFT's: its table reads one form of dates only
            "total_time": record.timing.total,
            "experiment_name": f"{method}/{experiment}",
            "peft_branch": None,
            "train_config": _train_config(row),
            "peft_config": _peft_config(row, run),
            "error_msg": "",
        },
        "train_info": _train_info(row, run),
        "meta_info": {
            "model_info": {"sha": row.config("model", "revision"), "created_at": None},
            "dataset_info": {use.task: {"sha": use.revision, "created_at": None} for use in record.data},
            "package_info": _packages(record),
            "system_info": {"system": record.environment.platform, "accelerator": record.environment.gpu},
            "pytorch_info": None,
        },
    }


def _missing(values: Mapping[str, Any]) -> Iterator[str]:
    """The numbers that the result lacks and PEFT's table makes whole."""
    info, last = values["train_info"], values["train_info"]["metrics"][-1]
    yield from (name for name in WHOLE if info[name] is None)
    yield from (name for name in ("train samples", "train total tokens") if last[name] is None)
    if values["run_info"]["total_time"] is None:
        yield "total_time"


def _packages(record: Record) -> dict[str, str | None]:
    versions = {f"{name}-version": record.environment.packages.get(name) for name in PACKAGES}
    return {**versions, **{f"{name}-commit-hash": None for name in PACKAGES}}


def _train_config(row: Row) -> dict[str, Any]:
    """PEFT's names for what the cell was trained with; null for what only PEFT's script has."""
    train = row.record.cell.config.get("train") or {}
    return {
        "model_id": str(row.config("model", "source") or "").partition(":")[2] or row.record.cell.model,
        "dtype": row.config("model", "dtype"),
        "max_seq_length": train.get("max_length"),
        "batch_size": train.get("per_device_train_batch_size"),
        "batch_size_eval": train.get("per_device_eval_batch_size"),
        "max_steps": row.record.training.steps if row.record.training else None,
        "eval_steps": None,
        "compile": train.get("torch_compile"),
        "use_gc": train.get("gradient_checkpointing"),
        "query_template": None,
        "seed": row.record.cell.seed,
        "grad_norm_clip": train.get("max_grad_norm"),
        "optimizer_type": train.get("optim"),
        "optimizer_kwargs": {"lr": train.get("learning_rate"), "weight_decay": train.get("weight_decay")},
        "lr_scheduler": train.get("lr_scheduler_type"),
        "use_amp": None,
        "autocast_adapter_dtype": None,
        "generation_kwargs": None,
        "attn_implementation": None,
        "init_kv_cache_prefix": None,
    }


def _peft_config(row: Row, run: Path) -> dict[str, Any] | None:
    """The adapter's own configuration as PEFT saved it; else the method's fields. None is PEFT's word for full tuning."""
    if row.config("method", "method") == "full":
        return None
    saved = run / "cells" / row.record.cell.id / "adapter" / "adapter_config.json"
    if saved.is_file():
        try:
            found = json.loads(saved.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{saved} is damaged: {error}") from error
        return dict(found)
    fields = row.record.cell.config.get("method") or {}
    return {"peft_type": str(fields.get("method", "")).upper().replace("-", "_"), **fields}


def _train_info(row: Row, run: Path) -> dict[str, Any]:
    record, training = row.record, row.record.training
    assert training is not None, "only tuned cells are exported"
    reserved = [phase.torch_reserved for phase in record.memory.phases.values() if phase.torch_reserved is not None]
    average, high = _reserved_while_training(run / "cells" / record.cell.id / "telemetry.parquet")
    accuracy = row.reading("accuracy")
    last = {
        "step": training.steps, "test accuracy": accuracy.value if accuracy else None, "train loss": training.final_loss,
        "train samples": training.samples, "train total tokens": training.tokens,
    }  # fmt: skip
    dev = [{"step": each.step, "valid accuracy": each.value} for each in training.dev if each.metric == "accuracy"]
    return {
        "accelerator_memory_reserved_avg": average,
        "accelerator_memory_max": max(reserved, default=None),
        "accelerator_memory_reserved_99th": high,
        "train_time": record.timing.phases.get("train"),
        "file_size": _file_size(row),
        "num_trainable_params": record.parameters.trainable if record.parameters else None,
        "num_total_params": record.parameters.total if record.parameters else None,
        "status": SUCCESS,
        "metrics": [*dev, last],
    }


def _file_size(row: Row) -> int | None:
    """Bytes of what was tuned, as saved; of full tuning those of all weights, which PEFT does not save either but reckons."""
    sizes = row.record.sizes
    return sizes.model_bytes if row.config("method", "method") == "full" else sizes.adapter_bytes


def _reserved_while_training(telemetry: Path) -> tuple[int | None, int | None]:
    """Mean and 99th percentile of what torch reserved at the samples between the first optimizer step and the last; None where none were taken.

    Raises DataError for a file that is damaged.
    """
    if not telemetry.is_file():
        return None, None
    import numpy
    import pandas
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    columns = ["step", "torch_reserved"]
    try:
        if not set(columns) <= set(read_schema(telemetry).names):  # written before these were sampled
            return None, None
        found = pandas.read_parquet(telemetry, columns=columns).dropna()
    except (OSError, ArrowException) as error:
        raise DataError(f"{telemetry} is damaged: {error}") from error
    reserved = found.loc[found["step"] > 0, "torch_reserved"].to_numpy()
    return (None, None) if not reserved.size else (int(reserved.mean()), int(numpy.percentile(reserved, 99)))


@IMPORTS.register("peft-method-comparison")
class MethodComparisonImport(Import):
    """One row per result file that succeeded, with accuracy, memory, time, sizes and forgetting."""

    def reads(self, found: Any) -> bool:
        """By the three parts of PEFT's files."""
        return isinstance(found, dict) and all(isinstance(found.get(part), dict) for part in ("run_info", "train_info", "meta_info"))

    def read(self, found: Sequence[tuple[Path, Any]], asked: Asked) -> Imported:
        """Raises DataError for a file that lacks what PEFT's own reader takes for granted."""
        reasons = [_unusable(values) for _, values in found]
        left_out = [f"{path.name}: {reason}" for (path, _), reason in zip(found, reasons, strict=True) if reason]
        done = [each for each, reason in zip(found, reasons, strict=True) if reason is None]
        rows = [_row(path, values, asked) for path, values in done]
        years = [datetime.fromisoformat(values["run_info"]["created_at"]).year for _, values in done]
        caption = "Accuracy on the test split after tuning, with memory, time and sizes; one run each"
        return Imported("PEFT's method comparison", URL, max(years, default=0), caption, None, rows, left_out)


def _unusable(values: Mapping[str, Any]) -> str | None:
    """Why a file gives no row, or None."""
    if values["train_info"].get("status") != SUCCESS:
        return f"status {values['train_info'].get('status')}"
    data = list(values["meta_info"].get("dataset_info") or ())
    return None if set(data) == PEFTS_DATA or len(data) == 1 else f"its data sets do not say what it was evaluated on: {', '.join(data) or 'none'}"


def _placed(values: Mapping[str, Any]) -> dict[str, str]:
    """Task, training data and protocol: PEFT's own pair of data sets, or the one task of a file that `harness export` wrote."""
    data = list(values["meta_info"]["dataset_info"])
    memory = "memory is what torch reserved in the whole process"
    if set(data) == PEFTS_DATA:
        return {"task": "gsm8k", "train": "metamathqa", "protocol": f"gsm8k/peft-metamath; {memory}; seconds are of the whole training, evaluations included"}
    return {"task": data[0], "protocol": f"{data[0]}, accuracy in the form of PEFT's method comparison; {memory}"}


def _row(path: Path, values: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    try:
        run_info, train_info = values["run_info"], values["train_info"]
        config, peft = run_info["train_config"], run_info["peft_config"] or {}
        last = train_info["metrics"][-1]
        kind = peft.get("peft_type")
        method = asked.method or ("full" if kind is None else OWN_METHODS.get(kind, "peft"))
        stated = {name: peft[name] for name in STATED if method == "lora" and peft.get(name) is not None}
        numbers = {"accuracy": last["test accuracy"], **dict(_numbers(train_info))} | ({"forgetting": last["forgetting"]} if "forgetting" in last else {})
        return {
            "model": str(config["model_id"]).rpartition("/")[2].lower(),
            "scheme": asked.scheme or SCHEMES.get(config["dtype"], "none"),
            "method": method, **_placed(values), "experiment": run_info["experiment_name"],
            **({"peft_type": kind} if method == "peft" else {}), **stated,
            "values": {name: number for name, number in numbers.items() if number is not None}, "verified": True,
        }  # fmt: skip
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: not a whole result file of PEFT's method comparison: {error!r} is missing") from error


def _numbers(train_info: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for metric, keys in VALUES.items():
        yield metric, next((train_info[key] for key in keys if key in train_info), None)
