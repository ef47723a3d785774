"""`harness list references`: which published numbers there are, and how many of them were checked."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from harness.cli.app import app


def test_references_are_listed_with_their_tables() -> None:
    done = CliRunner().invoke(app, ["list", "references"])
    assert done.exit_code == 0
    assert "gptq.opt_wikitext2" in done.output


def test_references_as_json_tell_how_many_numbers_were_checked() -> None:
    entries = {entry["name"]: entry for entry in json.loads(CliRunner().invoke(app, ["list", "references", "--json"]).output)}
    tables = {table["name"]: (table["rows"], table["numbers"], table["verified"]) for entry in entries.values() for table in entry["tables"]}
    assert tables["awq.llama_wikitext2"] == (63, 63, 6)
    assert tables["fms_acceleration.a100_80gb"] == (124, 719, 719)
    assert entries["qualitative"]["claims"] == 21
