"""`harness schema [suite|record]`: JSON Schema, for editors and for other tools."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Document(StrEnum):
    """What has a schema."""

    suite = "suite"
    record = "record"


def schema_command(
    document: Annotated[Document, typer.Argument(help="Which schema to print.")] = Document.suite,
) -> None:
    """Print the JSON Schema of a suite file or of a record."""
    from harness.records.schema import Record
    from harness.suite.json_schema import suite_schema

    schema = suite_schema() if document is Document.suite else Record.model_json_schema()
    print(json.dumps(schema, indent=1))
