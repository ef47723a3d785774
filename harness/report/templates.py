"""Jinja2 environments over report_templates/: in a repository beside the package, in a wheel inside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import harness
from harness.outside import printable


def templates_folder() -> Path:
    """Where the templates are: the repository's report_templates/, or harness/report/templates of a wheel."""
    package = Path(harness.__file__).resolve().parent
    in_repository = (package.parent / "pyproject.toml").is_file()
    return package.parent / "report_templates" if in_repository else package / "report" / "templates"


class Rendered(str):
    """Text that is in the target's syntax already and is not escaped again."""


def environment(escape: Callable[[str], str] | None) -> jinja2.Environment:
    """An environment in which every printed value is escaped: by `escape`, or as HTML where that is None.

    `Rendered` values (HTML: markupsafe.Markup) pass as they are, others without control characters; an undefined name is an error.
    """

    def escaped(value: Any) -> Any:
        if isinstance(value, Rendered | Markup):
            return value
        return printable(str(value)) if escape is None else escape(printable(str(value)))

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        autoescape=escape is None,
        finalize=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
