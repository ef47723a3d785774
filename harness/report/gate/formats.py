"""The forms that `harness compare --format` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.analysis.gate.compare import Comparison
from harness.errors import UnknownName
from harness.report.gate.github import gate_github
from harness.report.gate.json_values import gate_json
from harness.report.gate.junit import gate_junit
from harness.report.gate.markdown import gate_markdown

FORMATS: Mapping[str, Callable[[Comparison], str]] = {"md": gate_markdown, "json": gate_json, "junit": gate_junit, "github": gate_github}


def form_of(name: str) -> Callable[[Comparison], str]:
    """What makes a comparison into text of that form; raises UnknownName."""
    if name not in FORMATS:
        raise UnknownName("format", name, FORMATS)
    return FORMATS[name]
