"""What the installed PEFT ships: its types, their configuration classes and the fields of these, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import Any

from harness.declared import Declared, declared_fields, source_tree
from harness.errors import MOST_PROBLEMS, HarnessError, nearest

#: Fields that the harness fills itself, with the reason that a suite may not.
DECIDED_BY_THE_HARNESS: Mapping[str, str] = {
    "task_type": "the task says it",
    "peft_type": "the method says it",
    "base_model_name_or_path": "the suite's models axis says it",
    "revision": "the suite's models axis says it",
    "inference_mode": "what is attached is trained",
    "auto_mapping": "the harness loads the base model itself",
    "peft_version": "the record's environment says it",
}


@lru_cache(maxsize=1)
def peft_types() -> dict[str, tuple[str, str]]:
    """PEFT type (OFT, LN_TUNING, ...) -> its package and the name of its configuration class, sorted by type."""
    tuners = source_tree("peft.tuners")
    if tuners is None:
        raise HarnessError("the installed peft has no peft.tuners; is this version supported?")
    packages = dict.fromkeys(f"peft.tuners.{node.module}" for node in tuners.body if isinstance(node, ast.ImportFrom) and node.level == 1)
    return dict(sorted((kind, (package, config)) for package in packages for kind, config in _registered(package)))


def _registered(package: str) -> Iterator[tuple[str, str]]:
    """(type, configuration class) of every register_peft_method(name=..., config_cls=...) in the package's __init__."""
    tree = source_tree(package)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register_peft_method":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            name, config = given["name"], given["config_cls"]
            assert isinstance(name, ast.Constant), "PEFT registers by plain names"
            assert isinstance(config, ast.Name), "PEFT registers by plain names"
            yield str(name.value).upper(), config.id


@cache
def config_fields(config_class: str) -> dict[str, Declared]:
    """The fields of that configuration class that a suite may give, by name; raises HarnessError where PEFT has no such class."""
    packages = {config: package for package, config in peft_types().values()}
    if config_class not in packages:
        raise HarnessError(f"the installed peft has no {config_class}; is this version supported?")
    fields = declared_fields(packages[config_class], config_class)
    return {name: declared for name, declared in fields.items() if name not in DECIDED_BY_THE_HARNESS}


def field_problems(config_class: str, values: Mapping[str, Any], beside: Sequence[str] = ()) -> dict[str, str]:
    """What is wrong with each of these values of the configuration class, by name, of very many the first; empty when nothing is.

    beside: names that the person could have meant as well.
    """
    found = ((name, _problem(config_class, name, value, beside)) for name, value in values.items())
    wrong = ((name, message) for name, message in found if message is not None)
    return dict(islice(wrong, MOST_PROBLEMS + 1))


def _problem(config_class: str, name: str, value: Any, beside: Sequence[str]) -> str | None:
    if name in DECIDED_BY_THE_HARNESS:
        return f"decided by the harness: {DECIDED_BY_THE_HARNESS[name]}"
    known = config_fields(config_class)
    if name not in known:
        guess = nearest(name, [*known, *beside])
        if guess is not None:
            return f"unknown key; did you mean {guess}?"
        return f"unknown key: the installed peft has no {config_class}.{name}; its fields are {', '.join(sorted(known))}"
    return known[name].misfit(value)
