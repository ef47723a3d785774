"""Suites written to a temporary folder, and the problems that reading them gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suites_for_tests import Load, Planned, Problems, suite_text

from harness.errors import SuiteError
from harness.needs import Machine
from harness.registry import Registry
from harness.suite.load import load_suite
from harness.suite.plan import Plan, make_plan
from harness.suite.schema import Suite


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(extra, profile, **sections): the suite of that text."""

    def read(extra: str = "", profile: str | None = None, **sections: str) -> Suite:
        path = tmp_path / "s.yaml"
        path.write_text(suite_text(extra, **sections), encoding="utf-8")
        return load_suite(path, profile)

    return read


@pytest.fixture
def problems(load: Load, tmp_path: Path) -> Problems:
    """problems(extra, profile, **sections): what is wrong with the suite of that text, a line each, file named s.yaml."""

    def find(*arguments: str, **sections: str) -> list[str]:
        with pytest.raises(SuiteError) as caught:
            load(*arguments, **sections)
        assert caught.value.exit_code == 2
        return [str(problem).replace(str(tmp_path) + "/", "") for problem in caught.value.problems]

    return find


@pytest.fixture
def plan(load: Load) -> Planned:
    """plan(extra, profile, **sections): the plan of that suite on a machine without a GPU."""

    def make(*arguments: str, machine: Machine | None = None, **sections: str) -> Plan:
        return make_plan(load(*arguments, **sections), machine or Machine())

    return make


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry[Any], str, type[Any]], None]:
    """register(registry, name, class): known by that name until the test ends."""

    def enter(registry: Registry[Any], name: str, cls: type[Any]) -> None:
        registry.names()
        monkeypatch.setitem(registry._classes, name, cls)

    return enter


@pytest.fixture
def rte(tmp_path: Path) -> Path:
    """A folder with RTE's columns and a few rows."""
    folder = tmp_path / "rte"
    folder.mkdir()
    for split, rows in (("train", 6), ("validation", 4)):
        lines = [f"{index},a{index},b{index},{index % 2}" for index in range(rows)]
        (folder / f"{split}.csv").write_text("\n".join(["idx,sentence1,sentence2,label", *lines]) + "\n")
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder that looks like a saved BERT model to whoever does not load its weights."""
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 12}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder
