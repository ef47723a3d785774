"""Dataclass fields read from the source of an installed library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.declared import declared_fields
from harness.errors import HarnessError

SOURCE = '''
from __future__ import annotations
import enum
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Optional, Union
from .base import Base as Parent

class Mode(enum.Enum):
    A = "a"

@dataclass
class Config(Parent):
    """Doc."""
    size: int = field(default=8, metadata={"help": "the " "size"})
    rate: Optional[float] = 0.5
    names: list[str] | str = field(default_factory=list)
    kind: Union[bool, Literal["fast", "fast_[number]"]] = True
    mode: Mode = Mode.A
    nested: Optional["Nested"] = None
    late: int = None
    anything: Any = None
    hidden: int = field(init=False, default=1)
    _private: int = 0
    steps: "tuple[int, ...]" = ()
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose import would fail, with a class that derives from another module's."""
    folder = tmp_path / "declared_library"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "__init__.py").write_text("from .config import Config\nfrom os import path")
    (folder / "inner" / "config.py").write_text(SOURCE)
    (folder / "inner" / "base.py").write_text("class Base:\n    first: str\n    size: str = 'overridden'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "declared_library", raising=False)


def test_fields_come_with_their_bases_and_without_what_cannot_be_given(library: None) -> None:
    fields = declared_fields("declared_library.inner", "Config")
    assert list(fields) == ["first", "size", "rate", "names", "kind", "mode", "nested", "late", "anything", "steps"]
    assert (fields["size"].default, fields["size"].meaning, fields["size"].types) == (8, "the size", {"int"})
    assert (fields["first"].default, fields["names"].default) == (None, "list()")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("size", 3, None), ("size", 3.0, "an integer, found 3.0"), ("size", True, "an integer, found True"), ("size", None, "an integer"),
        ("rate", 1, None), ("rate", None, None), ("rate", "x", "a number or null, found 'x'"), ("names", ["a"], None), ("names", "a", None),
        ("names", 1, "text or a list"), ("kind", False, None), ("kind", "fast", None), ("kind", "fast_4", None),
        ("kind", "fats", "true or false or fast or fast_[number], found 'fats'; did you mean fast?"), ("kind", 1, "true or false"),
        ("mode", "a", None), ("nested", {"a": 1}, None), ("nested", 3, "null, found 3"), ("late", None, None), ("late", 3, None),
        ("anything", 3, None), ("steps", [1, 2], None), ("steps", 1, "a list"),
    ],
)  # fmt: skip
def test_simple_types_and_choices_are_checked(library: None, name: str, value: object, expected: str | None) -> None:
    misfit = declared_fields("declared_library.inner", "Config")[name].misfit(value)
    assert misfit is None if expected is None else expected in str(misfit)


def test_what_is_not_there_is_an_error_for_the_person(library: None) -> None:
    with pytest.raises(HarnessError, match=r"declared_library has no class Missing in declared_library\.inner"):
        declared_fields("declared_library.inner", "Missing")
    with pytest.raises(HarnessError, match="no_such_library is not installed"):
        declared_fields("no_such_library.config", "Config")
