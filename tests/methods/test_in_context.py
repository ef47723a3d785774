"""zero-shot and few-shot: nothing is tuned, the task is asked with so many examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Unsupported
from harness.tasks.base import TASKS
from tests.methods.trials import method, trial


@pytest.mark.parametrize(("name", "fields", "shots"), [("zero-shot", {}, 0), ("few-shot", {}, 5), ("few-shot", {"k": 2}, 2)])
def test_the_task_is_asked_with_so_many_examples(name: str, fields: dict, shots: int) -> None:
    task = TASKS.get("mmlu")(task="mmlu", num_fewshot=3)
    assert method(name, **fields).adapted(task) == task.model_copy(update={"num_fewshot": shots})


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(Unsupported, match="mmlu has 5 examples a subject; 6 were asked for"):
        method("few-shot", k=6).adapted(TASKS.get("mmlu")(task="mmlu"))
    with pytest.raises(Unsupported, match="wikitext2 asks no questions"):
        method("zero-shot").adapted(TASKS.get("wikitext2")(task="wikitext2"))


def test_nothing_is_tuned(tmp_path: Path) -> None:
    tried = trial(method("few-shot"), "llama", tmp_path)
    assert not tried.method.tunes
    assert tried.method.count(tried.attachment.anatomy) == 0
    assert not any(parameter.requires_grad for parameter in tried.attached().parameters())
