"""From a suite file to a `Suite`: everything that is wrong with it is collected and said at once."""

from __future__ import annotations

import math
from pathlib import Path

from harness.errors import MOST_PROBLEMS, Problem, SuiteError, nearest
from harness.suite.entries import AXES, METHOD_AXIS, MODELS, QUANTIZATION, TASK_AXIS, read_axis
from harness.suite.find import find_suite, is_path, reference_file
from harness.suite.fragments import COMPOSITION_KEYS, profiles_of, read_with_defaults, with_profile
from harness.suite.layout import check_names
from harness.suite.nodes import MappingNode, problem
from harness.suite.resolved import resolved_yaml
from harness.suite.schema import Sections, Suite
from harness.suite.sweep import read_sweep
from harness.suite.validation import validated

__all__ = ["MAX_CELLS", "find_suite", "load_suite", "resolved_yaml"]

MAX_CELLS = 100_000


def load_suite(path: Path, profile: str | None = None) -> Suite:
    """The suite of that file with that profile laid over it, its names resolved and its values checked.

    Raises SuiteError with every problem of the file, those of its other profiles included.
    """
    root = read_with_defaults(path)
    problems: list[Problem] = []
    profiles = profiles_of(root, problems)
    if profile is not None and profile not in profiles:
        guess = nearest(profile, profiles)
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(profiles) or 'none'}"
        problems.append(problem(root, ("profiles",), f"there is no profile {profile!r}; {hint}", key=True))
        raise SuiteError(problems)
    suite = _read(with_profile(root, profiles.get(profile) if profile else None), path, profile, problems)
    for name, other in profiles.items():
        if name != profile and len(problems) <= MOST_PROBLEMS:
            _check_profile(name, with_profile(root, other), path, problems)
    if problems:
        raise SuiteError(sorted(problems, key=lambda each: (each.file, each.line or 0, each.column or 0)))
    assert suite is not None, "a suite that was not built has a problem"
    return suite


def _check_profile(name: str, merged: MappingNode, path: Path, problems: list[Problem]) -> None:
    """A profile that is not asked for is checked too; what is wrong without it as well is not said twice."""
    found: list[Problem] = []
    _read(merged, path, name, found)
    places = {(each.file, each.line, each.column) for each in problems}
    problems += [each for each in found if (each.file, each.line, each.column) not in places]


def _read(root: MappingNode, path: Path, profile: str | None, problems: list[Problem]) -> Suite | None:
    """The suite, or None; every problem is appended."""
    before = len(problems)
    elsewhere = [axis.key for axis in AXES] + ["sweep"]
    sections = validated(
        Sections, root.without(*elsewhere), root, (), problems, also_known=(*elsewhere, *COMPOSITION_KEYS)
    )
    models = read_axis(MODELS, root, problems)
    swept = len(problems)
    quantization = read_axis(QUANTIZATION, root, problems)
    methods = read_axis(METHOD_AXIS, root, problems)
    tasks = read_axis(TASK_AXIS, root, problems)
    sweep = read_sweep(root, (quantization, methods, tasks), problems) if len(problems) == swept else {}
    if sections is not None:
        _check_seeds(sections, root, problems)
        check_names(sections, root, problems)
    if sections is None or len(problems) > before:
        return None
    counts = {"models": len(models), "quantization": len(quantization), "methods": len(methods), "tasks": len(tasks)}
    counts |= {"seeds": len(sections.seeds)} | {key: len(values) for key, values in sweep.items()}
    _check_size(counts, root, problems)
    if len(problems) > before:
        return None
    given = {name: getattr(sections, name) for name in sections.model_fields_set}
    if "references" in given:
        given["references"] = [str(reference_file(name, path.resolve().parent)) if is_path(name) else name for name in sections.references]
    return Suite(
        **given, models=models, quantization=quantization, methods=methods, tasks=tasks,
        sweep=sweep, profile=profile, file=path, source=root,
    )  # fmt: skip


def _check_seeds(sections: Sections, root: MappingNode, problems: list[Problem]) -> None:
    first: dict[int, int] = {}
    for index, seed in enumerate(sections.seeds):
        if first.setdefault(seed, index) != index:
            problems.append(problem(root, ("seeds", index), f"the seed {seed} is given twice, first at seeds[{first[seed]}]"))


def _check_size(counts: dict[str, int], root: MappingNode, problems: list[Problem]) -> None:
    cells = math.prod(counts.values())
    if cells > MAX_CELLS:
        product = " x ".join(f"{count:,} {axis}" for axis, count in counts.items())
        longest = max(counts, key=lambda axis: counts[axis])
        message = f"{cells:,} cells ({product}); a suite has at most {MAX_CELLS:,} before `exclude`: shorten {longest}, or make several suites of it"
        problems.append(problem(root, (longest,) if longest in root.values else ("sweep", longest), message, key=True))
