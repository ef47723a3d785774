"""What an unquoted word in a suite is: stricter than YAML 1.1, so that nothing is read as what nobody meant.

`1e-4` is a number, `off` is text (only `true` and `false` are booleans), `1:30` and `2024-01-02` are text, and so
is `007`. Reading and writing share this table, so that what is written is read back as it was.
"""

from __future__ import annotations

import math
import re

import yaml

from harness.suite.nodes import ScalarValue

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|false)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)\Z", re.ASCII)

_RESOLVERS = (
    ("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", _BOOL, ["t", "f"]),
    ("tag:yaml.org,2002:int", _INT, list("-+0123456789")),
    ("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789")),
    ("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"]),
)


def scalar_value(text: str) -> ScalarValue:
    """The value of an unquoted word; digits beyond 64 bits or a double's range are text (a commit hash, not a number)."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text == "true"
    if _INT.match(text) and len(text.lstrip("+-")) <= 18:
        return int(text)
    if _FLOAT.match(text) and math.isfinite(float(text)):
        return float(text)
    return text


class SuiteDumper(yaml.SafeDumper):
    """Writes YAML that reads back the same: quotes whatever the table above would not read as text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # PyYAML's own ones are YAML 1.1

    def ignore_aliases(self, data: object) -> bool:
        """Write values out instead of anchors: the file is for people."""
        return True


for _tag, _pattern, _first in _RESOLVERS:
    SuiteDumper.add_implicit_resolver(_tag, _pattern, _first)
