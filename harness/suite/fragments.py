"""One suite out of several files: `defaults:` fragments merged in order under it, one profile laid over it."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import Problem, SuiteError, nearest
from harness.suite.ids import id_trouble
from harness.suite.nodes import MappingNode, Node, ScalarNode, SequenceNode, merge, problem
from harness.suite.yaml_nodes import described, read_yaml

#: Keys that say how a suite is put together, so that a profile cannot give them.
COMPOSITION_KEYS = ("defaults", "profiles")

MAX_FRAGMENTS = 50  # read for one suite: files that each name two others twice would be read without end


def read_with_defaults(path: Path) -> MappingNode:
    """The suite file laid over the fragments of its `defaults`, in order (they may have fragments of their own).

    Raises SuiteError: a file that cannot be read, no list of files, or files that name each other in a circle.
    """
    return _read(path, (), [])


def _read(path: Path, chain: tuple[Path, ...], files: list[Path]) -> MappingNode:
    """chain: the files that led here. files: all that have been read, once for every time; this one is added."""
    root = read_yaml(path)
    files.append(path)
    chain = (*chain, path.resolve())
    merged: Node = MappingNode(root.place, {}, {})
    for index, item in enumerate(_fragment_items(root)):
        assert isinstance(item, ScalarNode)
        fragment = path.parent / os.path.expanduser(item.text)
        trouble = _trouble(fragment, chain)
        if trouble is None and len(files) > MAX_FRAGMENTS:
            trouble = f"more than {MAX_FRAGMENTS} fragments, each counted as often as it is named; make one file of some"
        if trouble is not None:
            raise SuiteError([problem(root, ("defaults", index), trouble)])
        merged = merge(merged, _read(fragment, chain, files))
    merged = merge(merged, root.without("defaults"))
    assert isinstance(merged, MappingNode)
    return merged


def _fragment_items(root: MappingNode) -> tuple[Node, ...]:
    node = root.values.get("defaults", SequenceNode(root.place, ()))
    if not isinstance(node, SequenceNode):
        raise SuiteError([problem(root, ("defaults",), f"expected a list of YAML files, found {described(node)}")])
    for index, item in enumerate(node.items):
        if not (isinstance(item, ScalarNode) and isinstance(item.value, str)):
            raise SuiteError([problem(root, ("defaults", index), f"expected the name of a YAML file, found {described(item)}")])
    return node.items


def _trouble(fragment: Path, chain: tuple[Path, ...]) -> str | None:
    if not os.path.isfile(fragment):
        there = [other.name for other in fragment.parent.glob("*.yaml")] if os.path.isdir(fragment.parent) else []
        guess = nearest(fragment.name, there)
        return f"there is no file {fragment}" + (f"; did you mean {guess}?" if guess else "")
    if fragment.resolve() in chain:
        circle = " -> ".join(file.name for file in (*chain[chain.index(fragment.resolve()) :], fragment))
        return f"a cycle among files: {circle}"
    return None


def profiles_of(root: MappingNode, problems: list[Problem]) -> dict[str, MappingNode]:
    """The profiles by name; what is no profile is appended to `problems`."""
    node = root.values.get("profiles")
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        problems.append(problem(root, ("profiles",), f"expected a mapping of profiles by name, found {described(node)}"))
        return {}
    profiles: dict[str, MappingNode] = {}
    for name, profile in node.values.items():
        if not isinstance(profile, MappingNode):
            found = described(profile)
            problems.append(problem(root, ("profiles", name), f"expected a mapping to lay over the suite, found {found}"))
            continue
        trouble = id_trouble(name)
        if trouble is not None:
            problems.append(problem(root, ("profiles", name), trouble, key=True))
        for key in COMPOSITION_KEYS:
            if key in profile.values:
                message = f"a profile cannot hold {key}"
                problems.append(problem(root, ("profiles", name, key), message, key=True))
        profiles[name] = profile.without(*COMPOSITION_KEYS)
    return profiles


def with_profile(root: MappingNode, profile: MappingNode | None) -> MappingNode:
    """The suite with the profile laid over it (mappings merge, lists are replaced), and without its profiles."""
    base = root.without("profiles")
    merged = merge(base, profile) if profile is not None else base
    assert isinstance(merged, MappingNode)
    return MappingNode(root.place, merged.values, merged.key_places)
