"""`harness export` and `harness run --history` on the command line: paths to stdout, reasons to stderr, bad requests before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_factory import metric, record, write_run
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import DataError, UnknownName


def test_paths_go_to_stdout_and_what_is_left_out_to_stderr(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [record(metrics=[metric()]), record(method="full", status="oom")])
    done = CliRunner().invoke(app, ["export", str(run), "--to", "lm-eval", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    (path,) = done.stdout.split()
    assert Path(path).is_file()
    assert done.stderr.strip() == "left out: tiny / none / full / rte / seed 0 ended oom"


def test_an_unknown_form_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(tmp_path / "none"), "--to", "lm-evl", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, UnknownName)
    assert "did you mean lm-eval" in str(done.exception)


def test_a_run_looks_at_its_history_file_before_the_first_cell(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("not a database, and long enough to be looked at" * 20, encoding="utf-8")
    done = CliRunner().invoke(app, ["run", "quickstart", "--out", str(tmp_path / "run"), "--history", str(tmp_path / "history.sqlite")])
    assert isinstance(done.exception, DataError)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", ["lm-eval", "peft-method-comparison"])
def test_a_run_of_which_nothing_can_be_exported_says_why(tmp_path: Path, form: str) -> None:
    run = write_run(tmp_path / "run", [record(status="oom")])
    done = CliRunner().invoke(app, ["export", str(run), "--to", form, "--out", str(tmp_path / "out")])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "ended oom" in done.stderr
