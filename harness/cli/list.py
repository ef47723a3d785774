"""`harness list models|schemes|methods|tasks|references`: what a suite can name."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from harness.methods.base import Method

MOST_FIELDS = 8  # of one entry in the table


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    schemes = "schemes"
    methods = "methods"
    tasks = "tasks"
    references = "references"


def list_command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every field's default and meaning.")] = False,
) -> None:
    """List the models, schemes, methods, tasks or published numbers that a suite can name."""
    entries = _models() if kind is Kind.models else _references() if kind is Kind.references else _registered(kind)
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    if kind is Kind.references:
        _print_references(entries)
        return
    can = ["size", "merges"] if kind is Kind.methods else []
    shared = _shared_fields(entries)
    table = Table("name", "what it is", *can, "fields")
    for group in _alike(entries, can):
        first = group[0]
        own = [field["name"] for field in first["fields"] if field["name"] not in shared]
        table.add_row("\n".join(entry["name"] for entry in group), first["summary"], *(_word(first[key]) for key in can), _some(own))
    Console(markup=False).print(table)
    if shared:
        print(f"All of them have: {', '.join(shared)}.")


def _shared_fields(entries: list[dict[str, Any]]) -> list[str]:
    """Names of the fields that every entry has, in order."""
    names = [[field["name"] for field in entry["fields"]] for entry in entries]
    return [name for name in names[0] if all(name in others for others in names)]


def _alike(entries: list[dict[str, Any]], can: list[str]) -> list[list[dict[str, Any]]]:
    """Entries that differ in nothing but their names stand together, as those of one class do."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(repr([entry["summary"], entry["fields"], *(entry[key] for key in can)]), []).append(entry)
    return list(groups.values())


def _word(value: bool | str | None) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else value or "–"


def _some(names: list[str]) -> str:
    """The first fields' names; --json has all."""
    return ", ".join(names[:MOST_FIELDS]) + (f" and {len(names) - MOST_FIELDS} more" if len(names) > MOST_FIELDS else "")


def _registered(kind: Kind) -> list[dict[str, Any]]:
    from harness.methods.base import METHODS
    from harness.quantization.base import SCHEMES
    from harness.tasks.base import TASKS

    registry: Any = {Kind.schemes: SCHEMES, Kind.methods: METHODS, Kind.tasks: TASKS}[kind]
    can = _abilities if kind is Kind.methods else lambda cls: {}
    return [{"name": name, "summary": _summary(cls), **can(cls), "fields": _fields(cls)} for name, cls in registry.items()]


def _abilities(cls: type[Method]) -> dict[str, Any]:
    """size: the field that a budget chooses; merges: into the base weights; tunes: trains anything at all."""
    return {"size": getattr(cls, "knob", None), "merges": cls.merges, "tunes": cls.tunes}


def _models() -> list[dict[str, Any]]:
    from harness.micro import MODELS
    from harness.models.base import ModelConfig
    from harness.models.source import shapes

    sources = [
        ("hub:<owner>/<name>", "a model of the Hugging Face hub"),
        ("path:<folder>", "a folder with config.json, safetensors weights and a tokenizer"),
        *((f"micro:{name}", "a small pre-trained model that ships with harness") for name in MODELS),
        *((f"random:{name}", "random weights of a real model's size: memory and speed only") for name in shapes()),
    ]
    return [{"name": name, "summary": summary, "fields": _fields(ModelConfig)} for name, summary in sources]


def _references() -> list[dict[str, Any]]:
    from harness.analysis.reference_files import reference, reference_names

    return [
        {
            "name": name, "title": source.title, "citation": source.citation, "claims": len(source.claims),
            "tables": [
                {"name": f"{name}.{table.id}", "caption": table.caption, "protocol": table.protocol, "rows": len(table.rows),
                 "numbers": len(table.numbers), "verified": sum(number.verified for number in table.numbers)}
                for table in source.tables
            ],
        }
        for name in reference_names() for source in [reference(name)]
    ]  # fmt: skip


def _print_references(entries: list[dict[str, Any]]) -> None:
    """A row per table: how many numbers it has, and how many of them were checked against the source."""
    table = Table("name", "what it is", "rows", "numbers", "verified")
    for entry in entries:
        table.add_row(entry["name"], f"{entry['citation']}; {entry['claims']} claims in words", style="bold")
        for each in entry["tables"]:
            counts = (f"{each['rows']:,}", f"{each['numbers']:,}", f"{each['verified']:,}")
            table.add_row(f"  {each['name']}", each["caption"], *counts)
    Console(markup=False).print(table)


def _summary(cls: type[Any]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _fields(cls: Any) -> list[dict[str, Any]]:
    """What an entry may give: the class' own fields, and those of the library that it hands values to."""
    from harness.fields import OpenConfig

    described = cls.model_json_schema()["properties"]
    own = [
        {"name": name, "default": described[name].get("default"), "meaning": described[name].get("description", "")}
        for name in cls.model_fields
        if name not in ("scheme", "method", "task", "source")
    ]
    further = cls.further_fields({}) if issubclass(cls, OpenConfig) else None
    return own + [{"name": name, "default": declared.default, "meaning": declared.meaning} for name, declared in (further or {}).items()]
