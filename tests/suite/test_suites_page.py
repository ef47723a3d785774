"""docs/suites.md: every example in it loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from suites_for_tests import suite_text

from harness.suite.load import load_suite
from harness.suite.schema import Sections, Suite

PAGE = Path(__file__).parents[2] / "docs" / "suites.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) >= 10


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split(":")[0])
def test_an_example_loads(block: str, tmp_path: Path) -> None:
    """An example that is no whole suite is laid over the least one."""
    (tmp_path / "common.yaml").write_text(suite_text())
    whole = "name:" in block.splitlines()[0]
    if not whole and "defaults:" not in block:
        block = "defaults: [common.yaml]\n" + block
    path = tmp_path / "s.yaml"
    path.write_text(block)
    load_suite(path)
    for profile in re.findall(r"^  (\w+):$", block.partition("profiles:\n")[2], re.MULTILINE):
        assert load_suite(path, profile).profile == profile


def test_every_key_of_a_suite_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    keys = {*Sections.model_fields, *Suite.model_fields, "defaults", "profiles"} - {"file", "profile", "source"}
    assert [key for key in sorted(keys) if f"{key}" not in "".join(re.findall(r"^## .*$|```yaml\n.*?```", text, re.M | re.S))] == []
