"""The documents that lm-eval's tasks evaluate, for the record: what they hold, and what each asks without its answer."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.tasks.used_rows import UsedRows

if TYPE_CHECKING:
    from jinja2 import nodes


def see_documents(tasks: dict[str, Any], limit: int | None, used: UsedRows, reader: str = "") -> None:
    """Notes the first `limit` documents of every task, or all, as `lm-eval:<name>` on the split that lm-eval evaluates. reader: see
    UsedRows."""
    for name, task in tasks.items():
        documents = list(islice(task.eval_docs, limit))
        columns = {key: [document.get(key) for document in documents] for key in documents[0]} if isinstance(documents[0], dict) else {"document": documents}
        asks = _question_of(task)
        used.see("evaluation", f"lm-eval:{name}", split_of(task), columns, [asks(document) for document in documents], reader=reader)


def split_of(task: Any) -> str:
    """The split that lm-eval evaluates: `test` before `validation`, as the task calls them."""
    chosen = "test_split" if task.has_test_docs() else "validation_split"
    return str(task.get_config(chosen) or chosen.removesuffix("_split"))


def _question_of(task: Any) -> Any:
    """document -> what it asks.

    Where the prompt is a template, the texts of the fields that it names, in its order, one a line: lm-eval's own words
    around them ("Question:") are in no row that a task of ours trains on. Perplexity reads a whole document.
    """
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return lambda document: str(task.doc_to_target(document))
    template = task.get_config("doc_to_text")
    fields = _fields(template) if isinstance(template, str) else []
    if not fields:
        return lambda document: text if isinstance(text := task.doc_to_text(document), str) else ""
    return lambda document: "\n".join(text for field in fields for text in _texts(document.get(field)))


def _fields(template: str) -> list[str]:
    """The names in a jinja2 template, in the order in which they stand there; none for a text without any."""
    from jinja2 import Environment
    from jinja2.nodes import Name

    found: list[nodes.Name] = list(Environment(autoescape=False).parse(template).find_all(Name))
    return list(dict.fromkeys(name.name for name in found))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else []
