"""Suites as people and accidents spoil them: a shipped suite with something deleted, repeated, renamed, of another type, spliced or corrupt.

Every case is a function of its number alone, so that a failure is had again from the number.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.suite.nodes import plain
from harness.suite.scalars import SuiteDumper
from harness.suite.yaml_nodes import read_yaml

#: Shapes and micro models are planned from their weights' sizes, which a process of its own looks up: half a minute for a new head.
_COSTLY = (("random:", "hub:random/"), ("micro:", "hub:micro/"))
_SLOW_TO_PLAN = ("compatibility.yaml", "lm_eval_leaderboard.yaml")  # 3,185 cells; imports lm-eval

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**400, 0.0, -0.0, 1e308, 1e-320, float("inf"), float("-inf"), float("nan"),
    "", " ", "~", "null", "true", "yes", "off", "NaN", ".nan", ".inf", "1e-4", "1e999", "0x10", "0o7", "007", "1:30", "2024-01-02", "1_000",
    "..", "../../etc/passwd", "/", "/dev/null", "/proc/self/environ", "~", "~nobody/x", "hub:", "hub:a", "hub:a/b", "hub:../../x", "path:", "path:x", "path:/etc/passwd",
    "path:\0", "random:", "random:..", "micro:", "micro:../x", "lora", "none", "full", "bnb-*", "[", "*", "?", "[!", "glue/rte", "all-linear", "auto", "accuracy",
    "train.learning_rate", "train.seed", "method.r", "qlora.table3_glue", "qlora.", ".", "a.b.c", "<", "=", "<<", "!!python/object:os.system", "&a", "*a", "%TAG", "---", "...",
    "\0", "\n", "\r\n", "\t", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ufffe", "\U0001f4a9", "é", "e\u0301", "１２", "x" * 300, "x" * 20_000, "a" * 81,
    [], {}, [None], [[]], [{}], {"id": None}, {"": ""}, {"a": {"b": []}}, {"id": "x", "train": {}}, {"value": 3}, {"metric": "f1"}, [1, 1], ["none", "none"],
    list(range(3)), list(range(400)), {"train.max_steps": list(range(400))},
)  # fmt: skip
KEYS: tuple[str, ...] = (
    "id", "train", "method", "scheme", "source", "task", "evaluate", "also", "data", "calibration", "defaults", "profiles", "<<", "", "~", "null", "metric", "where", "models",
    "quantization", "methods", "tasks", "seeds", "sweep", "exclude", "report", "claims", "limits", "measure", "gate", "name", "references", "over", "r", "lora_alpha", "budget",
    "target_modules", "learning_rate", "max_steps", "train.learning_rate", "method.r", "model_config", "__class__", "further_fields", "\x1b]0;x\x07", "a b", "x" * 5000, "\u202eid", "1", "true",
)  # fmt: skip
SNIPPETS: tuple[str, ...] = (
    "&a ", "*a", "*a : *a\n", "<<: *a\n", "<<: [*a, *a]\n", "<<: 3\n", "!!python/object/apply:os.system ['true']", "!!binary |\n  aGk=", "!!set {a, b}", "!!int x", "!local ", "!<tag:x> ",
    "? [a, b]\n: c\n", "? {a: b}\n", "---\n", "...\n", "%YAML 1.2\n---\n", "%TAG ! tag:x,2024:\n---\n", "\t", "\r", "\r\n", "\ufeff", "\0", "\x07", "\x85", "\u2028", "\ud7ff", "\uffff", "#", ": ", "- ",
    "- - - - ", "[", "]", "{", "}", ",", "'", '"', "|", ">", "|+9\n", "@", "`", "\\", "\"\\x00\"", "\"\\ud800\"", "\"\\e[2J\"", "\"\\U00110000\"", "'\n\n\n", "2024-01-02T03:04:05Z",
    "1e400", "-.inf", ".NaN", "9" * 400, "0." + "0" * 400 + "1", "{a: &a [*a]}", "&a [*a]", "[" * 60, "{a: " * 60, "[" * 30_000, "{a: " * 3000, "- " * 3000, "x" * 100_000,
    "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
)  # fmt: skip


@dataclass(frozen=True)
class Shipped:
    """A suite that ships: its text, and the same as dicts and lists (JSON)."""

    text: str
    tree: str


def shipped(root: Path) -> list[Shipped]:
    """The shipped suites that are planned in milliseconds, their models as hub names that are not downloaded."""
    paths = sorted(path for path in (root / "suites").glob("*.yaml") if path.name not in _SLOW_TO_PLAN)
    return [Shipped(_cheap(path.read_text(encoding="utf-8")), _cheap(json.dumps(plain(read_yaml(path))))) for path in paths]


def _cheap(text: str) -> str:
    for costly, cheap in _COSTLY:
        text = text.replace(costly, cheap)
    return text


def spoilt(number: int, suites: Sequence[Shipped]) -> bytes:
    """The suite file of that number."""
    rng = random.Random(number)
    suite = rng.choice(suites)
    if rng.random() < 0.6:
        tree: Any = json.loads(suite.tree)
        if rng.random() < 0.9:
            _shorten(tree, rng)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            tree = spoil_tree(tree, rng)
        data = _written(tree, rng).encode("utf-8", "surrogatepass")
    else:
        text = suite.text
        for _ in range(rng.choice((1, 1, 2, 4))):
            text = rng.choice(_OF_TEXT)(text, rng, suites)
        data = text.encode("utf-8", "surrogatepass")
    return corrupt(data, rng) if rng.random() < 0.1 else data


def _shorten(tree: dict[str, Any], rng: random.Random) -> None:
    """Leaves the suite a profile and two values of every list, so that one is read and planned in milliseconds."""
    for section in (tree, tree.get("report", {})):
        for key, values in section.items():
            if isinstance(values, list):
                section[key] = rng.sample(values, min(2, len(values)))
    if rng.random() < 0.7:  # each is read from a file of its own
        for table in tree.get("report", {}).get("tables", []):
            table.pop("reference", None)
    profiles = list(tree.pop("profiles", {}).items())
    if profiles and rng.random() < 0.2:
        tree["profiles"] = dict([rng.choice(profiles)])


def _written(tree: Any, rng: random.Random) -> str:
    if rng.random() < 0.7:  # YAML too, and written in a tenth of the time
        return json.dumps(tree, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)), default=str)
    return yaml.dump(tree, Dumper=SuiteDumper, allow_unicode=rng.random() < 0.7, sort_keys=False, width=rng.choice((20, 10_000)))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in below for place in _places(each, (*path, key)))]


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def spoil_tree(tree: Any, rng: random.Random) -> Any:
    """One change at a random place: deleted, repeated, renamed, replaced, swapped with another place, or wrapped."""
    places = _places(tree)[1:] if isinstance(tree, dict | list) else []
    if not places:
        return copy.deepcopy(rng.choice(JUNK))
    *above, last = rng.choice(places)
    parent, kind = _at(tree, tuple(above)), rng.random()
    if kind < 0.15:
        del parent[last]
    elif kind < 0.25 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[last]))
    elif kind < 0.4 and isinstance(parent, dict):
        parent[_misspelt(str(last), rng) if rng.random() < 0.5 else rng.choice(KEYS)] = parent.pop(last)
    elif kind < 0.5 and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = copy.deepcopy(rng.choice(JUNK))
    elif kind < 0.65:
        parent[last] = copy.deepcopy(_at(tree, rng.choice(places)))
    elif kind < 0.7:
        for _ in range(rng.choice((1, 3, 60))):
            parent[last] = {"a": parent[last]} if rng.random() < 0.5 else [parent[last]]
    else:
        parent[last] = copy.deepcopy(rng.choice(JUNK))
    return tree


def _misspelt(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return rng.choice((word[:at] + word[at + 1 :], word[:at] + rng.choice("aeo_.-A \u0430") + word[at:], word.upper(), word + word))


def _lines_gone(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(max(1, len(lines)))
    return "".join(lines[:at] + lines[at + rng.choice((1, 1, 3)) :])


def _lines_twice(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    lines = text.splitlines(keepends=True)
    at, other = rng.randrange(max(1, len(lines))), rng.randrange(max(1, len(lines)))
    return "".join(lines[:other] + lines[at : at + rng.choice((1, 4, 20))] + lines[other:])


def _indented(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(max(1, len(lines)))
    return "".join([*lines[:at], *(rng.choice((" ", "  ", "\t", "- ")) + line for line in lines[at : at + 2]), *lines[at + 2 :]])


def _snippet(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    at = rng.choice((0, len(text), rng.randrange(len(text) + 1), text.find("\n", rng.randrange(len(text) + 1)) + 1, text.find(": ", rng.randrange(len(text) + 1)) + 2))
    return text[:at] + rng.choice(SNIPPETS) + text[at:]


def _spliced(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    other = rng.choice(suites).text
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def _cut(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _other_line_ends(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    return text.replace("\n", rng.choice(("\r\n", "\r", "\n\n", "\x85", "\u2028")))


def _anchored(text: str, rng: random.Random, suites: Sequence[Shipped]) -> str:
    """A value becomes an anchor, and another one its alias."""
    places = [at for at in range(len(text)) if text.startswith(": ", at)]
    if len(places) < 2:
        return text
    first, second = sorted(rng.sample(places, 2))
    return text[: first + 2] + "&x " + text[first + 2 : second + 2] + "*x #" + text[second + 2 :]


_OF_TEXT: tuple[Callable[[str, random.Random, Sequence[Shipped]], str], ...] = (
    _lines_gone, _lines_twice, _indented, _snippet, _snippet, _snippet, _spliced, _cut, _other_line_ends, _anchored,
)  # fmt: skip


def corrupt(data: bytes, rng: random.Random) -> bytes:
    """A few bytes flipped, or the text in another encoding."""
    if rng.random() < 0.2:
        text = data.decode("utf-8", "replace")
        return text.encode(rng.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig")), "replace")
    spoilt_bytes = bytearray(data or b"a")
    for _ in range(rng.choice((1, 1, 5))):
        spoilt_bytes[rng.randrange(len(spoilt_bytes))] = rng.randrange(256)
    return bytes(spoilt_bytes)
