"""`harness trend` and the report's section over time, through the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from record_factory import START, environment, metric, record, write_run
from typer.testing import CliRunner

from harness.cli.app import app
from harness.report.write import write_report

VALUES = [0.85, 0.851, 0.849, 0.85, 0.80, 0.801, 0.799]


def invoke(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def history(tmp_path: Path) -> Path:
    for day, value in enumerate(VALUES):
        moment = START + timedelta(days=day)
        found = record(metrics=[metric(value=value)], started=moment, finished=moment, environment=environment(packages={"torch": "2.12" if day < 4 else "2.13"}))
        found.cell.id = "c1-0123456789abcdef"
        write_run(tmp_path / f"night-{day}", [found])
        invoke("history", "add", tmp_path / f"night-{day}", tmp_path / "history.sqlite")
    return tmp_path / "history.sqlite"


def test_adding_a_run_again_says_that_it_was_there(history: Path) -> None:
    said = " ".join(invoke("history", "add", history.parent / "night-0", history).split())
    assert said.startswith("history: 0 records added to ")
    assert said.endswith(", 1 was there already")


def test_markdown_has_the_course_and_the_change_with_its_versions(history: Path) -> None:
    text = invoke("trend", history, "--metric", "accuracy")
    assert "## Accuracy over time" in text
    assert "██" in text
    assert "torch 2.12 → 2.13" in text


def test_json_has_every_point_and_its_versions(history: Path) -> None:
    found = json.loads(invoke("trend", history, "--metric", "accuracy", "--format", "json"))
    (series,) = found["series"]
    assert [point["value"] for point in series["points"]] == VALUES
    assert series["changes"][0]["changed"] == {"torch": {"before": "2.12", "after": "2.13"}}
    assert (found["unit"], found["higher_is_better"]) == (None, True)


def test_svg_is_one_plot_per_cell_that_names_the_cell_and_the_versions(history: Path, tmp_path: Path) -> None:
    (path,) = map(Path, invoke("trend", history, "--metric", "accuracy", "--format", "svg", "--out", tmp_path / "plots").split())
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert "torch 2.12 → 2.13" in path.read_text(encoding="utf-8")


def test_svg_without_a_folder_is_refused(history: Path) -> None:
    assert "--out" in str(CliRunner().invoke(app, ["trend", str(history), "--metric", "accuracy", "--format", "svg"]).exception)


@pytest.mark.parametrize(("form", "file"), [("md", "report.md"), ("html", "report.html")])
def test_a_report_with_a_history_has_sparklines_and_without_one_no_section(history: Path, tmp_path: Path, form: str, file: str) -> None:
    write_report(history.parent / "night-6", [form], tmp_path / "with", history=history)
    write_report(history.parent / "night-6", [form], tmp_path / "without")
    assert "██" in (tmp_path / "with" / file).read_text(encoding="utf-8")
    assert "Over time<" not in (tmp_path / "without" / file).read_text(encoding="utf-8")
    assert "## Over time" not in (tmp_path / "without" / file).read_text(encoding="utf-8")
