"""`harness import`: which files are taken, where the reference goes, and that a suite finds it by its path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from record_factory import metric, record, write_run
from typer.testing import CliRunner

from harness.analysis.run import read_run
from harness.analysis.tables import result_tables
from harness.cli.app import app
from harness.errors import DataError, HarnessError, RequestError, SuiteError
from harness.interop.base import Asked
from harness.interop.reference import import_results
from harness.suite.load import load_suite, resolved_yaml

PEFT = Path(__file__).with_name("peft_result.json")
LM_EVAL = {"results": {"hellaswag": {"acc,none": 0.4, "acc_stderr,none": 0.01}}, "config": {"model_args": "pretrained=owner/tiny"}, "date": 1.7e9, "n-shot": {"hellaswag": 0}, "versions": {"hellaswag": 1.0}}
SUITE = """
name: mine
references: [refs/theirs.yaml]
models: [{id: tiny, source: micro:decoder}]
methods: [none]
tasks: [{id: hellaswag, task: lm-eval:hellaswag}]
report: {tables: [{rows: [method], columns: [task], metric: acc, reference: theirs.results}]}
"""


@pytest.fixture
def lm_eval_file(tmp_path: Path) -> Path:
    (tmp_path / "results_1.json").write_text(json.dumps(LM_EVAL), encoding="utf-8")
    return tmp_path / "results_1.json"


def test_the_command_writes_the_file_and_says_how_a_suite_names_it(lm_eval_file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import", str(lm_eval_file), "--as", "theirs", "--out", str(tmp_path / "refs")])
    assert done.exit_code == 0, done.output
    assert f"references: [{tmp_path / 'refs' / 'theirs.yaml'}]" in done.output


def test_a_suite_finds_it_by_its_path_and_its_run_shows_the_number(lm_eval_file: Path, tmp_path: Path) -> None:
    import_results([lm_eval_file], "theirs", tmp_path / "refs", Asked())
    (tmp_path / "mine.yaml").write_text(SUITE, encoding="utf-8")
    resolved = resolved_yaml(load_suite(tmp_path / "mine.yaml"))
    cell = record(method="none", task="hellaswag", metrics=[metric("acc", 0.5)], config={"task": {"task": "lm-eval:hellaswag"}})
    run = read_run(write_run(tmp_path / "elsewhere" / "run", [cell], resolved))
    assert run.suite is not None, run.suite_problem
    (table,) = result_tables(run.rows, run.suite.report.tables, run.order, run.suite.references)
    published = [entry.text for label, entry in zip(table.header, table.rows[0], strict=True) if label.endswith("theirs paper")]
    assert published == ["40 (stderr=0.01)"]


def test_a_suite_that_names_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SUITE, encoding="utf-8")
    with pytest.raises(SuiteError, match=r"references\[0\]: there is no reference file .*refs/theirs\.yaml"):
        load_suite(tmp_path / "mine.yaml")


def test_a_wrong_table_of_a_file_is_named_with_the_nearest(lm_eval_file: Path, tmp_path: Path) -> None:
    import_results([lm_eval_file], "theirs", tmp_path / "refs", Asked())
    (tmp_path / "mine.yaml").write_text(SUITE.replace("theirs.results", "theirs.result"), encoding="utf-8")
    with pytest.raises(SuiteError, match="did you mean results"):
        load_suite(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("content", "name", "error", "said"),
    [
        ("{}", "theirs", RequestError, "no result file of lm-eval or peft-method-comparison"),
        ("[1, 2", "theirs", DataError, "not JSON"),
        (json.dumps(LM_EVAL | {"results": {}}), "theirs", RequestError, "there are none"),
        (json.dumps(LM_EVAL), "../theirs", RequestError, "letters, digits"),
    ],
)
def test_what_cannot_be_imported_is_said(tmp_path: Path, content: str, name: str, error: type[HarnessError], said: str) -> None:
    (tmp_path / "file.json").write_text(content, encoding="utf-8")
    with pytest.raises(error, match=said):
        import_results([tmp_path / "file.json"], name, tmp_path / "refs", Asked())
    assert not (tmp_path / "refs").exists()


def test_two_tools_at_once_a_missing_file_and_one_that_is_there_are_refused(lm_eval_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="several tools at once"):
        import_results([lm_eval_file, PEFT], "both", tmp_path, Asked())
    with pytest.raises(DataError, match="cannot be read"):
        import_results([tmp_path / "none.json"], "theirs", tmp_path, Asked())
    import_results([lm_eval_file], "theirs", tmp_path, Asked())
    with pytest.raises(RequestError, match="there already"):
        import_results([lm_eval_file], "theirs", tmp_path, Asked())
