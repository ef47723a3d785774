"""A comparison as Markdown, JUnit XML, JSON and GitHub annotations, and the command's exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from gate_factory import cell, compared, environment, repeated, run, six

from harness.analysis.gate.compare import Comparison
from harness.cli.app import main
from harness.errors import UnknownName
from harness.report.gate.formats import FORMATS, form_of


@pytest.fixture
def worse(tmp_path: Path) -> Comparison:
    """Scores fell in three cells, one died, one vanished."""
    now = [*six(lambda scheme, method: {"accuracy": 0.7} if method == "lora" else {})][:5]
    now[0] = cell(quantization="none", method="full", status="failed")
    return compared(tmp_path, repeated(tmp_path / "base"), now)


def test_markdown_begins_with_the_verdict_and_fits_a_screen(worse: Comparison) -> None:
    text = FORMATS["md"](worse)
    assert text.splitlines()[0] == "**REGRESSION: 4 of 6 cells are worse: failed (1), vanished (1), accuracy (2)**"
    assert "- vanished: tiny / bnb-nf4 / ia3 / rte / seed 0" in text
    assert "| tiny / none / lora / rte / seed 0" in text
    assert len(text.splitlines()) < 50


def test_markdown_of_what_is_fine_and_of_what_does_not_compare(tmp_path: Path) -> None:
    assert FORMATS["md"](compared(tmp_path / "a", six(), six())).startswith("**OK: nothing is worse in 6 cells")
    text = FORMATS["md"](compared(tmp_path / "b", six(), six(environment=environment(cpu="Other CPU"))))
    assert text.startswith("**NOT COMPARABLE: measured on different devices")
    assert "--allow-different device" in text


def test_markdown_does_not_say_that_nothing_differs_beside_what_does(tmp_path: Path) -> None:
    now = six(lambda scheme, method: {"accuracy": 0.7} if (scheme, method) == ("none", "full") else {}, environment=environment(packages={"torch": "2.13.0", "peft": "0.22"}))
    text = FORMATS["md"](compared(tmp_path, six(), now))
    assert "Changed since the baseline: peft 0.21.2 → 0.22" in text
    assert "**Why?** What changed touches none of these cells." in text


def test_cells_that_failed_on_both_sides_are_told(tmp_path: Path) -> None:
    found = compared(tmp_path, six(status="failed"), six(status="failed"))
    assert found.exit_code == 0
    assert "6 cells failed in the baseline already, so that nothing can be worse there" in FORMATS["md"](found)


def test_junit_has_a_case_for_each_cell_and_a_failure_with_the_message(worse: Comparison) -> None:
    whole = ElementTree.fromstring(FORMATS["junit"](worse).encode())
    suite = whole.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "4", "0")
    failures = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert {name: None if found is None else found.get("type") for name, found in failures.items()} == {
        "tiny / none / full / seed 0": "failed", "tiny / none / lora / seed 0": "regression", "tiny / none / ia3 / seed 0": None,
        "tiny / bnb-nf4 / full / seed 0": None, "tiny / bnb-nf4 / lora / seed 0": "regression", "tiny / bnb-nf4 / ia3 / seed 0": "vanished",
    }  # fmt: skip
    found = failures["tiny / none / lora / seed 0"]
    assert found is not None
    assert "accuracy 90.00 → 70.00" in (found.get("message") or "")


def test_junit_says_what_does_not_compare_as_an_error_and_survives_any_character(tmp_path: Path) -> None:
    whole = ElementTree.fromstring(FORMATS["junit"](compared(tmp_path / "a", six(), six(environment=environment(cpu="Other <CPU>")))).encode())
    assert whole.get("errors") == "1"
    from harness.records.schema import Outcome

    dead = cell(outcome=Outcome(status="failed", phase="train", message="\x1b[31mred\x1b[0m <b> & \x00"))
    assert ElementTree.fromstring(FORMATS["junit"](compared(tmp_path / "b", [cell()], [dead])).encode()).get("failures") == "1"


def test_json_has_every_judged_number_in_stored_units(worse: Comparison) -> None:
    values = json.loads(FORMATS["json"](worse))
    assert (values["verdict"], values["exit_code"]) == ("regression", 1)
    accuracy = [change for change in values["changes"] if change["quantity"] == "accuracy" and change["fails"]]
    assert [(change["baseline"], change["run"]) for change in accuracy] == [(0.9, 0.7), (0.9, 0.7)]
    assert {event["kind"] for event in values["events"]} == {"failed", "vanished"}


def test_annotations_are_one_command_a_line_with_what_would_end_them_escaped(worse: Comparison) -> None:
    lines = FORMATS["github"](worse).splitlines()
    assert lines[0].startswith("::error title=harness compare::REGRESSION: 4 of 6 cells")
    assert all(line.startswith(("::error title=", "::warning title=")) for line in lines)
    assert any("title=tiny / none / lora / rte / seed 0::accuracy 90.00" in line for line in lines)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean junit"):
        form_of("junitt")


def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    return int(stop.value.code or 0), told.out + told.err


def test_the_command_s_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: Any) -> tuple[int, str]:
        return harness(monkeypatch, capsys, *arguments)

    base, same, bad = run(tmp_path / "base", six()), run(tmp_path / "same", six()), run(tmp_path / "bad", six(accuracy=0.5))
    other = run(tmp_path / "other", six(environment=environment(cpu="Other")))
    assert call("compare", base, same)[0] == 0
    code, told = call("compare", base, bad)
    assert (code, told.startswith("**REGRESSION")) == (1, True)
    assert call("compare", base, other)[0] == 2
    assert call("compare", base, other, "--allow-different", "device")[0] == 0
    assert call("compare", base, same, "--format", "jsn") == (2, "unknown format 'jsn'; did you mean json?\n")
    assert call("compare", base, tmp_path)[0] == 2
    gate = tmp_path / "gate.yaml"
    gate.write_text("quantities:\n  acuracy: {ignore: true}\n")
    code, told = call("compare", base, bad, "--gate", gate)
    assert code == 2
    assert "gate.yaml:2:3" in told
    gate.write_text("quantities:\n  accuracy: {ignore: true}\n")
    assert call("compare", base, bad, "--gate", gate, "--format", "junit", "--out", tmp_path / "gate.xml")[0] == 0
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("failures") == "0"


def test_a_baseline_is_saved_listed_shown_and_compared_with_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "base", six())
    run(tmp_path / "bad", six(accuracy=0.5, environment=environment(packages={"torch": "2.14"})))
    code, told = harness(monkeypatch, capsys, "baseline", "save", "base", "nightly")
    assert (code, "results/reference/cpu/baselines/nightly.jsonl: 6 cells" in told) == (0, True)
    assert harness(monkeypatch, capsys, "baseline", "save", "base", "nightly")[0] == 2
    assert harness(monkeypatch, capsys, "baseline", "save", "base", "nightly", "--replace")[0] == 0
    assert "nightly" in harness(monkeypatch, capsys, "baseline", "list")[1]
    assert harness(monkeypatch, capsys, "baseline", "show", "nightly")[0] == 0
    assert harness(monkeypatch, capsys, "compare", "nightly", "bad")[0] == 1
    code, told = harness(monkeypatch, capsys, "bisect-env", "nightly", "bad")
    assert code == 0
    assert "pip install torch==2.13.0" in told
