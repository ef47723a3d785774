"""docs/tasks/: every example loads, every link leads somewhere, and every task has its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from suites_for_tests import suite_text

from harness.suite.load import load_suite
from harness.tasks.base import TASKS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "tasks").glob("*.md"))
EXAMPLES = [(page.stem, number, block) for page in PAGES for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL))]


@pytest.mark.parametrize(("page", "number", "block"), EXAMPLES, ids=[f"{page}-{number}" for page, number, _ in EXAMPLES])
def test_an_example_loads(page: str, number: int, block: str, tmp_path: Path) -> None:
    """An example that is no whole suite is laid over the least one; a task's own yaml of lm-eval is no suite."""
    if block.startswith("task: "):
        return
    (tmp_path / "common.yaml").write_text(suite_text())
    path = tmp_path / "s.yaml"
    path.write_text(block if re.search(r"^name:", block, re.M) else "defaults: [common.yaml]\n" + block)
    load_suite(path)


def test_every_task_is_on_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in (*PAGES, DOCS / "tasks.md"))
    families = {name.partition("/")[0].partition(":")[0] for name in TASKS.names()}
    assert [name for name in sorted(families) if f"`{name}" not in text] == []


@pytest.mark.parametrize("page", [*PAGES, *sorted((DOCS / "protocols").glob("*.md")), *sorted(DOCS.glob("*.md"))], ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
