"""Fields of a dataclass of an installed library, read from its source: names, simple types, defaults and help. Nothing is imported.

What a suite hands over to such a class can so be checked while a plan is made, without starting torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, nearest

_TYPE_WORDS = {
    "bool": "true or false", "int": "an integer", "float": "a number", "str": "text", "list": "a list",
    "dict": "a mapping", "None": "null",
}  # fmt: skip
_JSON_TYPES = {
    "bool": "boolean", "int": "integer", "float": "number", "str": "string", "list": "array", "dict": "object", "None": "null",
}  # fmt: skip
_LISTS = {"list", "List", "tuple", "Tuple", "set", "Set", "Sequence", "Iterable"}  # all of them lists in YAML
_MAPPINGS = {"dict", "Dict", "Mapping"}


@dataclass(frozen=True)
class Declared:
    """One field. types: the simple ones that it takes (`bool`, `int`, `float`, `str`, `list`, `dict`, `None`).

    choices: the values of a Literal. classes: whether classes of the library fit too; values for these are written
    as text (an enumeration) or a mapping. default: its value, or what the source says where that is no literal; None
    without one. meaning: its help.
    """

    name: str
    types: frozenset[str] = frozenset()
    choices: tuple[Any, ...] = ()
    classes: bool = False
    default: Any = None
    meaning: str = ""

    def misfit(self, value: Any) -> str | None:
        """What was expected, where the value cannot be right; None where it fits, or where the type is not simple."""
        if not (self.types or self.choices) or _fits(value, self.types) or any(_chosen(value, choice) for choice in self.choices):
            return None
        if self.classes and (value is None or isinstance(value, str | dict)):
            return None
        words = [_TYPE_WORDS[word] for word in _TYPE_WORDS if word in self.types] + [str(choice) for choice in self.choices]
        guess = nearest(value, [str(choice) for choice in self.choices]) if isinstance(value, str) else None
        return f"expected {' or '.join(words)}, found {value!r}" + (f"; did you mean {guess}?" if guess else "")

    def json_schema(self) -> dict[str, Any]:
        """Its JSON Schema; no type where classes of the library fit too."""
        simple = [{"type": [_JSON_TYPES[name] for name in sorted(self.types)]}] if self.types else []
        arms = simple + ([{"enum": list(self.choices)}] if self.choices else [])
        plain = not self.classes and not any(isinstance(choice, str) and "[" in choice for choice in self.choices)
        return {"description": self.meaning} | ({"anyOf": arms} if arms and plain else {})


def declared_fields(module: str, cls: str) -> dict[str, Declared]:
    """The fields of class `cls` that `module` defines or imports, by name; inherited ones first, as dataclasses order them.

    Bases outside of the module's own package are not looked into. Raises HarnessError where the package is not
    installed, or the class is not where it used to be.
    """
    found = _find(module, cls)
    if found is None:
        raise HarnessError(f"the installed {module.partition('.')[0]} has no class {cls} in {module}; is this version supported?")
    at, node = found
    fields: dict[str, Declared] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and _find(at, base.id) is not None:
            fields |= declared_fields(at, base.id)
    return fields | {each.name: each for each in _own_fields(node)}


@cache
def source_tree(module: str) -> ast.Module | None:
    """The syntax tree of a module or package of an installed library, None where it has none of that name.

    Raises HarnessError where the library is not installed.
    """
    place = _place(module)
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else None


def _imported(module: str, name: str) -> tuple[str, str] | None:
    """The module of its own package that `module` takes `name` from, and the name there; None where it takes no such name from one."""
    tree = source_tree(module)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] if tree is not None else []
    for found in imports:
        for alias in found.names:
            if name == (alias.asname or alias.name):
                source = _absolute(module, found)
                return (source, alias.name) if source.partition(".")[0] == module.partition(".")[0] else None
    return None


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The full name of the module that an import in `module` names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    above = parts[: len(parts) - node.level + _place(module).is_dir()]
    return ".".join([*above, *([node.module] if node.module else [])])


def _place(module: str) -> Path:
    """A package's folder, or a module's file without its ending. Raises HarnessError where the library is not installed."""
    package, _, rest = module.partition(".")
    spec = find_spec(package)  # of a submodule it would import the package
    if spec is None or not spec.submodule_search_locations:
        raise HarnessError(f"{package} is not installed: its fields cannot be checked")
    return Path(spec.submodule_search_locations[0], *rest.split("."))


def _find(module: str, cls: str) -> tuple[str, ast.ClassDef] | None:
    """The class, and the module that defines it."""
    tree = source_tree(module)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ClassDef) and node.name == cls:
            return module, node
    source = _imported(module, cls)
    return _find(*source) if source is not None else None


def _own_fields(cls: ast.ClassDef) -> Iterator[Declared]:
    for node in cls.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.target.id.startswith("_"):
            continue
        given = _field_arguments(node.value)
        init = given.get("init")
        if isinstance(init, ast.Constant) and init.value is False:
            continue
        seen = _Annotation()
        seen.read(node.annotation)
        default = given.get("default")
        if isinstance(default, ast.Constant) and default.value is None:
            seen.types.add("None")  # a default is right, whatever the annotation says
        yield Declared(
            node.target.id, frozenset(seen.types), tuple(seen.choices), seen.classes, _value(default), _help(given.get("metadata"))
        )


def _value(default: ast.expr | None) -> Any:
    if default is None:
        return None
    try:
        return ast.literal_eval(default)
    except ValueError:
        return ast.unparse(default)


def _field_arguments(value: ast.expr | None) -> Mapping[str, ast.expr]:
    """The arguments of `field(...)` by name; a plain value is its default, a default_factory's call likewise."""
    match value:
        case None:
            return {}
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            given = {keyword.arg: keyword.value for keyword in keywords if keyword.arg is not None}
            factory = given.get("default_factory")
            return given if factory is None else {"default": ast.Call(func=factory, args=[], keywords=[])} | given
        case _:
            return {"default": value}


def _help(metadata: ast.expr | None) -> str:
    if not isinstance(metadata, ast.Dict):
        return ""
    for key, value in zip(metadata.keys, metadata.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "help":
            return " ".join(str(value.value).split()) if isinstance(value, ast.Constant) else ast.unparse(value)
    return ""


@dataclass
class _Annotation:
    """What is read of an annotation: unions are taken apart, containers keep their own name alone."""

    types: set[str] = field(default_factory=set)
    choices: list[Any] = field(default_factory=list)
    classes: bool = False

    def read(self, annotation: ast.expr) -> None:
        """Adds what the annotation allows."""
        match annotation:
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                self.read(left)
                self.read(right)
            case ast.Subscript(value=ast.Name(id="Optional" | "Union" as word), slice=inner):
                for part in inner.elts if isinstance(inner, ast.Tuple) else [inner]:
                    self.read(part)
                if word == "Optional":
                    self.types.add("None")
            case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
                parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                self.choices += [part.value for part in parts if isinstance(part, ast.Constant)]
            case ast.Subscript(value=container):
                self.read(container)
            case ast.Name(id=name) if name in _LISTS:
                self.types.add("list")
            case ast.Name(id=name) if name in _MAPPINGS:
                self.types.add("dict")
            case ast.Name(id=name) if name in _TYPE_WORDS:
                self.types.add(name)
            case ast.Name(id="Any"):
                self.types |= set(_TYPE_WORDS)
            case ast.Constant(value=None):
                self.types.add("None")
            case ast.Constant(value=str() as text):
                self.read(ast.parse(text, mode="eval").body)
            case _:
                self.classes = True


def _fits(value: Any, types: frozenset[str]) -> bool:
    if value is None:
        return "None" in types
    if isinstance(value, bool):
        return "bool" in types
    if isinstance(value, int):
        return bool({"int", "float"} & types)
    return type(value).__name__ in types


def _chosen(value: Any, choice: Any) -> bool:
    """Whether the value is that choice of a Literal; `pissa_niter_[number]` stands for every text that begins so."""
    if isinstance(value, str) and isinstance(choice, str) and "[" in choice:
        return value.startswith(choice.partition("[")[0])
    return type(value) is type(choice) and bool(value == choice)
