"""What lm-eval calls its tasks, groups and tags, read off its files without importing it.

lm-eval's own index parses its 14,000 files one by one, ten seconds that no plan should take; it is asked for groups and
tags when they are loaded. Reading the three keys that hold names takes one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from harness.errors import DataError, nearest

_SUFFIXES = (".yaml", "")  # lm-eval's templates have none (`_default_template_yaml`), and tags may stand there
_NAME = re.compile(r"""^["']?(?P<key>task|group|tag|class)["']?[ \t]*:[ \t]*(?P<value>.*(?:\n[ \t]*-.*)*)$""", re.MULTILINE)
_NOT_LOOKED_INTO = {"__pycache__", ".ipynb_checkpoints"}


@dataclass(frozen=True)
class Names:
    """What a folder defines. tasks: the file of each. gathered: groups and tags, which stand for several."""

    tasks: dict[str, Path]
    gathered: frozenset[str]

    def __contains__(self, name: str) -> bool:
        return name in self.tasks or name in self.gathered


def installed() -> bool:
    """Whether lm-eval is there."""
    return find_spec("lm_eval") is not None


def shipped_names() -> Names:
    """The names that the installed lm-eval has."""
    spec = find_spec("lm_eval")
    assert spec is not None, "the plan has asked whether it is installed"
    assert spec.submodule_search_locations, "lm_eval is a package"
    return names_in(Path(spec.submodule_search_locations[0], "tasks"))


@cache
def names_in(folder: Path) -> Names:
    """The names that the yaml files in and below a folder define."""
    tasks: dict[str, Path] = {}
    gathered: set[str] = set()
    for path in _yaml_files(folder):
        found = [(match["key"], match["value"]) for match in _NAME.finditer(path.read_text(encoding="utf-8", errors="replace"))]
        gathered.update(name for key, value in found if key == "tag" for name in _texts(value))
        if path.suffix != ".yaml":
            continue
        groups = [] if any(key == "class" for key, _ in found) else [name for key, value in found if key == "group" for name in _texts(value)]
        gathered.update(groups)
        for name in [name for key, value in found if key == "task" and not groups for name in _texts(value.partition("\n")[0])]:
            tasks.setdefault(name, path)
    return Names(tasks, frozenset(gathered))


def check_name(name: str, include_path: Path | None) -> None:
    """Raises DataError, with the nearest name, for one that neither lm-eval nor the folder knows."""
    local = names_in(include_path) if include_path is not None else Names({}, frozenset())
    if name in local:
        return
    shipped = shipped_names()
    if name in shipped:
        return
    known = {*local.tasks, *local.gathered, *shipped.tasks, *shipped.gathered}
    guess = nearest(name, known)
    hint = f"; did you mean lm-eval:{guess}?" if guess else "; `lm-eval ls tasks` lists its own"
    place = f" or in {include_path}" if include_path is not None else ""
    raise DataError(f"no task, group or tag {name!r} in the installed lm-eval{place}{hint}")


def check_folder(folder: Path) -> None:
    """Raises DataError for a folder that is none, holds no yaml file, or holds one that cannot be read (which lm-eval would skip)."""
    if not os.path.isdir(folder):
        what = "is a file; expected a folder" if os.path.exists(folder) else "no such folder; expected one"
        raise DataError(f"include_path: {folder}: {what} with the yaml files of lm-eval's tasks")
    files = [path for path in _yaml_files(folder) if path.suffix]
    if not files:
        raise DataError(f"include_path: {folder} holds no yaml file; expected those of lm-eval's tasks")
    for path in files:
        try:
            yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def files_of(folder: Path) -> list[Path]:
    """Everything in the folder that may decide a result: task files, their Python, their data; sorted."""
    found: list[Path] = []
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_LOOKED_INTO and not name.startswith(".")]
        found += [Path(above, name) for name in names if not name.startswith(".")]
    return sorted(found, key=Path.as_posix)


def _yaml_files(folder: Path) -> list[Path]:
    """lm-eval's order, in which the first of two tasks of one name counts."""
    return [path for path in files_of(folder) if path.suffix in _SUFFIXES]


def _texts(value: str) -> list[str]:
    """The names in what follows a key: one, or a list of either form."""
    lines = [line.split(" #")[0].strip() for line in value.splitlines()]
    listed = lines[0].strip("[]").split(",") if lines and lines[0] else [line.removeprefix("-") for line in lines[1:]]
    names = [name.strip().strip("\"'") for name in listed]
    return [name for name in names if name and name != "null"]
