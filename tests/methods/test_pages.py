"""Every method has a page, and the page has every hyper-parameter of its class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.methods.base import METHODS
from harness.registry import Registry

OURS = [name for name, cls in METHODS.items() if cls.__module__.startswith("harness.methods")]


def page(root: Path, name: str) -> str:
    return (root / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OURS)
def test_every_field_is_on_the_methods_page(name: str, root: Path) -> None:
    assert isinstance(METHODS, Registry)
    fields = set(METHODS.get(name).model_fields) - {"method"}
    assert not {field for field in fields if f"`{field}`" not in page(root, name)}


@pytest.mark.parametrize("name", OURS)
def test_every_default_on_the_page_is_the_codes(name: str, root: Path) -> None:
    written = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page(root, name), re.MULTILINE))
    for field, info in METHODS.get(name).model_fields.items():
        if field in written and isinstance(info.default, int | float | str) and not isinstance(info.default, bool):
            assert written[field].strip("`") == str(info.default), field


def test_every_method_is_in_the_index(root: Path) -> None:
    index = (root / "docs" / "methods.md").read_text(encoding="utf-8")
    assert not [name for name in OURS if f"(methods/{name}.md)" not in index]
