"""Where suites are: a path as it is, or the name of one in ./suites or of one that ships with the package."""

from __future__ import annotations

import os
from pathlib import Path

import harness
from harness.errors import RequestError, UnknownName


def find_suite(name_or_path: str) -> Path:
    """The suite file; raises UnknownName for a name that no suites folder has, RequestError for a path without a file."""
    path = Path(os.path.expanduser(name_or_path))
    if os.path.isfile(path):
        return path
    if os.path.isdir(path):
        raise RequestError(f"{path} is a folder; expected a suite file, such as {path}/<name>.yaml")
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise RequestError(f"there is no suite file {path}")
    known: dict[str, Path] = {}
    for folder in (Path("suites"), shipped_suites()):
        for file in sorted(folder.glob("*.yaml")):
            known.setdefault(file.stem, file)
    if name_or_path not in known:
        raise UnknownName("suite", name_or_path, known)
    return known[name_or_path]


def is_path(reference: str) -> bool:
    """Whether a suite names a reference by its path, and not by the name of a shipped one."""
    return Path(reference).suffix in (".yaml", ".yml")


def reference_file(name_or_path: str, suite_folder: Path) -> Path:
    """The file of a suite's reference: a path is relative to the suite's folder; a name is that of a shipped one."""
    if is_path(name_or_path):
        return suite_folder / os.path.expanduser(name_or_path)
    return shipped_suites() / "references" / f"{name_or_path}.yaml"


def shipped_suites() -> Path:
    """The suites that ship with the harness: the repository's folder, or the one inside an installed wheel."""
    package = Path(harness.__file__).resolve().parent
    # a wheel lies in site-packages, where a stranger's folder `suites` could lie beside it
    return package.parent / "suites" if (package.parent / "pyproject.toml").is_file() else package / "suites"
