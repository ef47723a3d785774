"""harness plan, schema and init, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from suites_for_tests import suite_text
from typer.testing import CliRunner

from harness.cli.init import init_command
from harness.cli.plan import plan_command
from harness.cli.schema import schema_command
from harness.errors import RequestError, SuiteError
from harness.needs import Machine
from harness.suite.json_schema import suite_schema
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

app = typer.Typer()
app.command("plan")(plan_command)
app.command("schema")(schema_command)
app.command("init")(init_command)


def output(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "250"}).invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text("exclude: [{method: zzz}]", quantization="[none, bnb-nf4]", methods="[none, full]"))
    return str(path)


def test_plan_shows_cells_shared_work_and_reasons(suite: str) -> None:
    text = output("plan", suite, "--device", "cpu")
    assert text.count("c2-") == 4
    assert "full tuning needs weights with gradients; bnb-nf4 stores them quantized" in text
    assert "untuned evaluation" in text
    assert "exclude[0]: matches no cell" in text
    assert "small: 4 cells, 3 to run, 1 unsupported here; 1 untuned evaluations saved by sharing" in text


def test_a_large_plan_has_a_line_for_every_cell(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text(seeds=str(list(range(300))), quantization="[bnb-nf4]"))
    lines = [line for line in output("plan", str(path), "--device", "cpu").splitlines() if line.startswith("c2-")]
    assert len(lines) == 300
    assert all(line.endswith("stores them quantized") for line in lines)


def test_plan_as_json_has_every_cell_with_its_configuration(suite: str) -> None:
    plan = json.loads(output("plan", suite, "--device", "cpu", "--json"))
    assert plan["counts"] == {"cells": 4, "unsupported": 1, "shared": 1}
    first = plan["cells"][0]
    assert (first["method"], first["unsupported"], first["config"]["task"]["task"]) == ("none", None, "wikitext2")
    assert plan["shared"][0]["cells"] == [cell["id"] for cell in plan["cells"] if cell["quantization"] == "none"]
    assert len(plan["warnings"]) == 1


def test_a_bad_suite_is_an_error_of_the_request(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(suite_text("titel: x"))
    with pytest.raises(SuiteError, match="did you mean title"):
        output("plan", str(path))
    with pytest.raises(SuiteError, match="no profile 'x'"):
        output("plan", str(path), "--profile", "x")


def references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["$ref"]} if "$ref" in schema else set()
        return own.union(*(references(value) for value in schema.values()))
    return set().union(*(references(item) for item in schema)) if isinstance(schema, list) else set()


def test_the_suites_schema_names_everything_that_is_registered() -> None:
    schema = json.loads(output("schema"))
    assert schema == json.loads(json.dumps(suite_schema()))
    methods = schema["properties"]["methods"]["items"]["anyOf"]
    assert {"none", "full", "lora"} <= set(methods[0]["enum"])
    lora = schema["$defs"]["method-Lora"]
    assert lora["properties"]["r"]["description"] == "rank of the update"
    assert lora["properties"]["method"] == {"enum": ["lora"]}
    assert lora["additionalProperties"] is False
    assert {"id", "train"} <= set(lora["properties"])
    assert {"name", "models", "methods", "tasks"} == set(schema["required"])
    wikitext = schema["$defs"]["task-WikiText2"]["properties"]
    assert wikitext["also"]["items"] == wikitext["evaluate"]["items"] == schema["properties"]["tasks"]["items"] == {"$ref": "#/$defs/task"}
    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])


def test_the_records_schema_is_printed_too() -> None:
    assert "outcome" in json.loads(output("schema", "record"))["properties"]


def test_init_writes_a_suite_that_plans_and_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "next: harness plan suites/first.yaml" in output("init", "first")
    plan = make_plan(load_suite(Path("suites/first.yaml")), Machine())
    assert plan.suite_name == "first"
    assert len(plan.cells) == 5
    assert plan.unsupported == []
    assert plan.problems == []
    with pytest.raises(RequestError, match="is there already"):
        output("init", "first")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "..."])
def test_init_refuses_names_that_are_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="cannot be an id"):
        output("init", "--", name)
    assert not (tmp_path / "suites").exists()
