"""Writes docs/licences.md: what the dependencies of constraints.txt say of their licence, read from the installed packages.

    python ci/licences.py

Nothing is interpreted: the licence is the metadata's License-Expression, else its licence classifiers, else the first line of its
License field. A package that is not installed here keeps the line that it had for its version.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, version

from lock import PINS, ROOT, canonical, pins

PAGE = ROOT / "docs" / "licences.md"
HEADING = """\
# Licences of the dependencies

What each package of `constraints.txt` and each direct dependency says of its own licence in its metadata, as installed; *direct*: `pyproject.toml` names it, for the
package itself or for an extra. Made by `python ci/licences.py`; a test holds the direct ones to what is installed. Models and data sets have licences of
their own, which `harness` neither reads nor decides.

| package | version | licence | direct |
|---|---|---|---|
"""
UNKNOWN = "not said"
_PREFIX = "License :: OSI Approved :: "


def direct() -> dict[str, str]:
    """Name of every dependency that pyproject.toml names -> `harness`, or the extra that needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"harness": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, str] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            name = canonical(re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0])
            if name != "harness":
                found.setdefault(name, group)
    return found


def licence(name: str) -> str:
    """What the installed package says; raises PackageNotFoundError."""
    found = metadata(name)
    if expression := found.get("License-Expression"):
        return str(expression)
    classifiers = [each.removeprefix(_PREFIX).removeprefix("License :: ") for each in found.get_all("Classifier") or [] if each.startswith("License :: ")]
    named = [each for each in classifiers if each != "OSI Approved"]
    written = (found.get("License") or "").strip().splitlines()
    return "; ".join(named) or (written[0][:80] if written else UNKNOWN)


def row(name: str, pinned: str, before: dict[str, str]) -> str:
    """The package's line of the table."""
    try:
        said = licence(name)
    except PackageNotFoundError:
        kept = before.get(name, "")
        return kept if f"| {pinned} |" in kept else f"| {name} | {pinned} | not installed where this was made | {direct().get(name, '')} |"
    return f"| {name} | {version(name).split('+')[0]} | {said.replace('|', '/')} | {direct().get(name, '')} |"


def rows(text: str) -> dict[str, str]:
    """The lines of a page's table by package."""
    return {line.split("|")[1].strip(): line for line in text.splitlines() if re.match(r"\| [a-z0-9]", line) and not line.startswith("| package ")}


def main() -> None:
    """Writes the page."""
    before = rows(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    pinned = dict.fromkeys(direct(), "–") | dict(pins(PINS.read_text(encoding="utf-8")))
    lines = [row(name, at, before) for name, at in sorted(pinned.items())]
    PAGE.write_text(HEADING + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{PAGE}: {len(lines)} packages, {sum(UNKNOWN in line for line in lines)} do not say")


if __name__ == "__main__":
    main()
