"""lm-evaluation-harness' results_*.json, written and read. Source of the keys: lm_eval/result_schema.py of 0.4.13.

A file of lm-eval is of one model on some tasks; so each cell becomes a file of its own, under a folder that names what was evaluated. The final
value of a metric stands under lm-eval's key `metric,none`; values at other times under a filter of that name (`acc,before`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.columns import FINAL, Row
from harness.analysis.printed_metrics import metric_trouble
from harness.analysis.run import Run
from harness.errors import DataError, RequestError
from harness.interop.base import EXPORTS, IMPORTS, Asked, Export, Exported, Import, Imported, through
from harness.records.schema import Metric
from harness.records.store import write_atomically

UNFILTERED = "none"
SOURCE = "harness"
NO_METRICS = ("alias", "name", "sample_len", "sample_count", " ")
URL = "https://github.com/EleutherAI/lm-evaluation-harness"


@EXPORTS.register("lm-eval")
class LmEvalResults(Export):
    """One results_*.json per cell that went through and has a metric."""

    def write(self, run: Run, out: Path) -> Exported:
        """Writes <out>/<what was evaluated>/results_<time>_<cell>.json for every cell."""
        left_out: list[str] = []
        paths = []
        for row in through(run, left_out):
            values = results_of(row)
            if not values["results"]:
                left_out.append(f"{row.name()} has no metric")
                continue
            started = f"{row.record.started:%Y-%m-%dT%H-%M-%S.%f}"
            paths.append(out / values["model_name_sanitized"] / f"results_{started}_{row.record.cell.id}.json")
            write_atomically(paths[-1], json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        return Exported(paths, left_out)


def results_of(row: Row) -> dict[str, Any]:
    """One cell as lm-eval's results. What lm-eval has and a record does not is left out: prompts' hashes, tokenizer, samples before a limit."""
    record = row.record
    tasks: dict[str, list[Metric]] = {}
    for metric in record.metrics:
        part = metric.name.partition(":")[2]
        tasks.setdefault((metric.task or record.cell.task) + (f":{part}" if part else ""), []).append(metric)
    named = {name: values for name, metrics in tasks.items() if (values := _task_values(metrics))}
    wholes = {name: [other for other in named if other.startswith(f"{name}:")] for name in named if ":" not in name}
    model_name = row.name("task")
    return {
        "results": {name: {"alias": name, **values} for name, values in named.items()},
        "group_subtasks": wholes,
        "configs": {name: {"task": name, "metadata": {"protocol": tasks[name][0].protocol, "split": tasks[name][0].split}} for name in named},
        "versions": {},
        "n-shot": {name: shots for name in named if (shots := row.config("task", "num_fewshot")) is not None},
        "higher_is_better": {name: {_plain(metric): metric.higher_is_better for metric in tasks[name]} for name in named},
        "n-samples": {name: {"effective": max(counts)} for name in named if (counts := [metric.n for metric in tasks[name] if metric.n])},
        "config": _config(row),
        "git_hash": record.environment.git.commit if record.environment.git else None,
        "date": record.started.timestamp(),
        "transformers_version": record.environment.packages.get("transformers"),
        "lm_eval_version": record.environment.packages.get("lm-eval") or record.environment.packages.get("lm_eval"),
        "model_source": SOURCE,
        "model_name": model_name,
        "model_name_sanitized": re.sub(r"[^\w.=-]+", "__", model_name),
        **({"total_evaluation_time_seconds": str(record.timing.phases["evaluate"])} if "evaluate" in record.timing.phases else {}),
    }


def _task_values(metrics: Sequence[Metric]) -> dict[str, float]:
    """`metric,filter` -> value, and its standard error where the record has one."""
    values: dict[str, float] = {}
    taken: set[str] = set()
    for metric in sorted(metrics, key=lambda metric: FINAL.index(metric.when)):
        filtered = UNFILTERED if _plain(metric) not in taken else metric.when
        taken.add(_plain(metric))
        if metric.value is not None:
            values[f"{_plain(metric)},{filtered}"] = metric.value
            if metric.stderr is not None:
                values[f"{_plain(metric)}_stderr,{filtered}"] = metric.stderr
    return values


def _plain(metric: Metric) -> str:
    return metric.name.partition(":")[0]


def _config(row: Row) -> dict[str, Any]:
    record, cell = row.record, row.record.cell
    model = {name: value for name, value in (cell.config.get("model") or {}).items() if value is not None}
    known = {
        "model_num_parameters": record.parameters.total if record.parameters else None,
        "model_dtype": model.get("dtype"), "model_revision": model.get("revision"),
        "batch_size": (cell.config.get("train") or {}).get("per_device_eval_batch_size"), "device": record.environment.device, "random_seed": cell.seed,
    }  # fmt: skip
    arguments = {"pretrained": model.get("source"), "scheme": row.config("scheme", "scheme"), "method": row.config("method", "method")}
    return {"model": SOURCE, "model_args": arguments, **known}


@IMPORTS.register("lm-eval")
class LmEvalImport(Import):
    """Every metric of every task that has a name here; shares as lm-eval has them, of one."""

    def reads(self, found: Any) -> bool:
        """By lm-eval's two keys that every results file has."""
        return isinstance(found, dict) and isinstance(found.get("results"), dict) and isinstance(found.get("config"), dict) and "run_info" not in found

    def read(self, found: Sequence[tuple[Path, Any]], asked: Asked) -> Imported:
        """One row per number. Raises RequestError for a model with a PEFT adapter where no method was named."""
        left_out: list[str] = []
        rows = [row for path, values in found for row in _rows(path, values, asked, left_out)]
        versions = sorted({str(values.get("lm_eval_version") or "of unknown version") for _, values in found})
        year = max(_year(path, values) for path, values in found)
        return Imported(f"Results of lm-evaluation-harness {', '.join(versions)}", URL, year, "Results as lm-eval wrote them", None, rows, left_out)


def _year(path: Path, values: Mapping[str, Any]) -> int:
    date = values.get("date")
    if not isinstance(date, int | float):
        raise DataError(f"{path}: its `date` should be a time in seconds, as lm-eval writes it, and is {date!r}")
    return datetime.fromtimestamp(date, UTC).year


def _rows(path: Path, values: Mapping[str, Any], asked: Asked, left_out: list[str]) -> Iterator[dict[str, Any]]:
    shared = _placed(path, values, asked)
    ours = values.get("model_source") == SOURCE
    version = values.get("lm_eval_version") or "of unknown version"
    for task, numbers in values["results"].items():
        shots, task_version = (values.get(key, {}).get(task) for key in ("n-shot", "versions"))
        for key, value in numbers.items():
            metric, _, filtered = key.partition(",")
            if key in NO_METRICS or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            trouble = metric_trouble(metric)
            if trouble is not None:
                left_out.append(f"{path.name}: {metric} of {task}: {trouble}")
                continue
            said = {"filter": filtered if filtered != UNFILTERED else None, "limit": values["config"].get("limit"), "lm-eval": version}
            protocol = ", ".join([f"lm-eval/{task}/{task_version}/{shots}shot", *(f"{name} {text}" for name, text in said.items() if text)])
            stderr = numbers.get(f"{metric}_stderr,{filtered}")
            noise = {"stderr": round(stderr, 6)} if isinstance(stderr, int | float) else {}
            yield {**shared, "task": task if ours else f"lm-eval:{task}", **noise, "metric": metric, "value": value, "protocol": protocol, "verified": True}


def _placed(path: Path, values: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """Model, scheme and method of a file: what lm-eval was told of the model, and what the person says."""
    arguments = _arguments(values["config"].get("model_args"))
    if asked.method is None and ("peft" in arguments or "delta" in arguments):
        raise RequestError(f"{path}: the model has an adapter on it, and lm-eval does not say of which method: say so with --method")
    name = str(values.get("model_name") or arguments.get("pretrained") or "")
    if not name:
        raise DataError(f"{path}: neither model_name nor model_args says which model this is")
    source = str(arguments.get("pretrained") or name).rpartition(":")[2]
    method, scheme = asked.method or arguments.get("method"), asked.scheme or arguments.get("scheme") or _scheme(arguments)
    return {"model": source.rstrip("/").rpartition("/")[2], "scheme": scheme, "method": method or "none"}


def _arguments(given: Any) -> dict[str, Any]:
    """`model_args` as lm-eval takes them: a mapping, or `key=value,key=value`."""
    if isinstance(given, dict):
        return given
    pairs = (part.partition("=") for part in str(given or "").split(",") if "=" in part)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _scheme(arguments: Mapping[str, Any]) -> str:
    """What lm-eval's Hugging Face model was asked to load in; transformers' 4-bit default is FP4."""
    if str(arguments.get("load_in_8bit")) == "True":
        return "bnb-int8"
    if str(arguments.get("load_in_4bit")) == "True":
        twice = "-dq" if str(arguments.get("bnb_4bit_use_double_quant")) == "True" else ""
        return f"bnb-{arguments.get('bnb_4bit_quant_type', 'fp4')}{twice}"
    return "none"
