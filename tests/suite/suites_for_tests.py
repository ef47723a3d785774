"""The text of small suites, and the types of the fixtures that read and plan them."""

from __future__ import annotations

from collections.abc import Callable

from harness.suite.plan import Plan
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
