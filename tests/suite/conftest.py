"""Suites written to a temporary folder, and the problems that reading them gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.needs import Machine
from harness.suite.load import load_suite
from harness.suite.plan import Plan, make_plan
from harness.suite.schema import Suite

#: The least that a suite needs, on a model whose shape ships with the package and data that is not looked at.
BASE = {
    "name": "small",
    "models": "[random:opt-125m]",
    "quantization": "[none]",
    "methods": "[full]",
    "tasks": "[wikitext2]",
    "seeds": "[0]",
}

Load = Callable[..., Suite]
Problems = Callable[..., list[str]]
Planned = Callable[..., Plan]


def suite_text(extra: str = "", **sections: str) -> str:
    """A suite with these sections in place of the least ones (None leaves one out), and further lines."""
    lines = [f"{key}: {value}" for key, value in (BASE | sections).items() if value is not None]
    return "\n".join([*lines, extra]) + "\n"


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
