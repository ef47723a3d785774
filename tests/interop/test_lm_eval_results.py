"""lm-eval's results: lm-eval prints ours, and what lm-eval itself wrote becomes a reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from record_factory import metric, record, write_run

from harness.analysis.reference_files import read_reference
from harness.analysis.references import PrintedRow
from harness.analysis.run import read_run
from harness.errors import DataError, RequestError
from harness.interop.base import EXPORTS, Asked
from harness.interop.reference import import_results
from harness.records.schema import Record

TASK = {
    "dataset_path": "json", "test_split": "test", "doc_to_text": "{{question}}", "doc_to_choice": ["no", "yes"], "doc_to_target": "{{answer}}",
    "metadata": {"version": 1.5},
}  # fmt: skip
CHOICE = {"output_type": "multiple_choice", "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]}
GENERATE = {
    "output_type": "generate_until", "generation_kwargs": {"until": ["\n"]}, "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [{"name": "first-letter", "filter": [{"function": "regex", "regex_pattern": "([A-Za-z])"}, {"function": "take_first"}]}],
}  # fmt: skip


def write_tasks(folder: Path, **tasks: dict[str, Any]) -> Path:
    """A folder of tasks in lm-eval's yaml over eight rows."""
    folder.mkdir()
    rows = [json.dumps({"question": f"Is {number} odd?", "answer": number % 2}) for number in range(8)]
    (folder / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    data = {"dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}}}
    for name, fields in tasks.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | TASK | data | fields), encoding="utf-8")
    return folder


def export(tmp_path: Path, *records: Record) -> tuple[list[Any], list[str]]:
    done = EXPORTS.get("lm-eval")().write(read_run(write_run(tmp_path / "run", records)), tmp_path / "out")
    return [json.loads(path.read_text(encoding="utf-8")) for path in done.paths], done.left_out


def rows(path: Path) -> list[PrintedRow]:
    return read_reference(path).tables[0].rows


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results file that lm-eval wrote: its dummy model on two tasks."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("lm-eval")
    tasks = TaskManager(include_path=str(write_tasks(folder / "tasks", birds=CHOICE, sums=GENERATE)), include_defaults=False)
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    arguments = "pretrained=owner/tiny,load_in_4bit=True,bnb_4bit_quant_type=nf4"
    found = simple_evaluate(
        model="dummy", model_args=arguments, tasks=["birds", "sums"], task_manager=tasks, bootstrap_iters=10, log_samples=False, evaluation_tracker=tracker
    )
    assert found is not None
    tracker.save_results_aggregated(results=found, samples=None)
    (path,) = (folder / "out").rglob("results_*.json")
    return path


def test_lm_eval_prints_our_results_as_its_own(tmp_path: Path) -> None:
    from lm_eval.utils import make_table

    metrics = [metric(value=0.75, stderr=0.02), metric(value=0.5, when="before"), metric("accuracy:anatomy", 0.6)]
    (found,), left_out = export(tmp_path, record(metrics=metrics))
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in make_table(found).splitlines()[2:]]
    assert [[line[at] for at in (2, 4, 5, 6, 7, 8)] for line in lines] == [
        ["before", "accuracy", "↑", "0.50", "", ""],
        ["none", "accuracy", "↑", "0.75", "±", "0.02"],
        ["none", "accuracy", "↑", "0.60", "", ""],
    ]
    assert lines[-1][0].endswith("rte:anatomy")
    assert left_out == []


def test_keys_are_those_of_lm_evals_schema(tmp_path: Path) -> None:
    from lm_eval.result_schema import EvalResults

    (found,), _ = export(tmp_path, record(metrics=[metric(value=0.75)]))
    assert found.keys() <= EvalResults.__annotations__.keys()
    assert found["n-samples"] == {"rte": {"effective": 277}}
    assert found["configs"]["rte"]["metadata"]["protocol"] == "glue/x"


def test_an_undefined_value_is_left_out_and_so_are_cells_without_metrics(tmp_path: Path) -> None:
    found, left_out = export(tmp_path, record(metrics=[metric(value=None)]), record(method="full", status="diverged"))
    assert found == []
    assert sorted(left_out) == ["tiny / none / full / rte / seed 0 ended diverged", "tiny / none / lora / rte / seed 0 has no metric"]


def test_what_lm_eval_wrote_becomes_a_reference(written: Path, tmp_path: Path) -> None:
    path, left_out = import_results([written], "theirs", tmp_path, Asked())
    values = json.loads(written.read_text(encoding="utf-8"))["results"]
    found = {row.metric: row for row in rows(path)}
    acc = found["acc"]
    assert (acc.model, acc.scheme, acc.method, acc.task, acc.value) == ("tiny", "bnb-nf4", "none", "lm-eval:birds", values["birds"]["acc,none"])
    assert acc.protocol == "lm-eval/birds/1.5/0shot, lm-eval 0.4.13"
    assert found["exact_match"].protocol == "lm-eval/sums/1.5/0shot, filter first-letter, lm-eval 0.4.13"
    assert left_out == []


def test_our_own_results_come_back_as_they_were(tmp_path: Path) -> None:
    export(tmp_path, record(metrics=[metric(value=0.75, stderr=0.02)]))
    path, _ = import_results([tmp_path / "out"], "mine", tmp_path, Asked())
    (row,) = rows(path)
    assert (row.model, row.scheme, row.method, row.task, row.metric, row.value) == ("tiny", "none", "lora", "rte", "accuracy", 0.75)


def given(tmp_path: Path, **changes: Any) -> Path:
    values = {"results": {"arc": {"alias": "arc", "acc,none": 0.4, "odd_metric,none": 0.3}}, "config": {"model_args": "pretrained=a/b"}, "date": 1.7e9, "lm_eval_version": "0.4.9"}
    (tmp_path / "results_1.json").write_text(json.dumps(values | changes), encoding="utf-8")
    return tmp_path / "results_1.json"


def test_metrics_without_a_name_here_are_left_out_by_name(tmp_path: Path) -> None:
    path, left_out = import_results([given(tmp_path)], "theirs", tmp_path, Asked())
    assert [(row.model, row.metric) for row in rows(path)] == [("b", "acc")]
    assert "odd_metric of arc" in left_out[0]


def test_an_adapter_needs_its_method_named(tmp_path: Path) -> None:
    file = given(tmp_path, config={"model_args": {"pretrained": "a/b", "peft": "a/adapter"}})
    with pytest.raises(RequestError, match="--method"):
        import_results([file], "theirs", tmp_path, Asked())
    path, _ = import_results([file], "theirs", tmp_path, Asked(method="lora"))
    assert rows(path)[0].method == "lora"


@pytest.mark.parametrize("changes", [{"date": None}, {"config": {}}])
def test_files_that_do_not_say_what_they_are_of_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"results_1\.json"):
        import_results([given(tmp_path, **changes)], "theirs", tmp_path, Asked())
