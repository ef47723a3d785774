"""OpenAssistant's message trees: which path of a tree is trained on, and which trees cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.tasks.base import TASKS
from harness.tasks.instruct.task import InstructionTask


def message(name: str, parent: str | None, text: str, role: str, rank: float | None = None, lang: str = "en") -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "text": text, "role": role, "rank": rank, "lang": lang}


TREE = [
    message("1", None, "Why?", "prompter"),
    message("1.1", "1", "second", "assistant", 1),
    message("1.2", "1", "first", "assistant", 0),
    message("1.3", "1", "unranked", "assistant"),
    message("1.1.1", "1.1", "never read", "prompter"),
    message("1.2.1", "1.2", "And then?", "prompter"),
    message("1.2.1.1", "1.2.1", "nobody ranked this", "assistant"),
    message("1.2.1.1.1", "1.2.1.1", "nobody answered this", "prompter"),
    message("2", None, "Warum?", "prompter", lang="de"),
    message("2.1", "2", "Darum.", "assistant", 0, lang="de"),
]


def oasst(folder: Path, messages: list[dict[str, Any]], **fields: Any) -> InstructionTask:
    (folder / "train.jsonl").write_text("".join(json.dumps(each) + "\n" for each in messages), encoding="utf-8")
    task = TASKS.get("oasst1")(task="oasst1", data=str(folder), **fields)
    assert isinstance(task, InstructionTask)
    return task


@pytest.fixture
def dialogues(decoder_tokenizer: Any, context_of: Any) -> Callable[[InstructionTask], list[list[tuple[str, str]]]]:
    def of(task: InstructionTask) -> list[list[tuple[str, str]]]:
        return [[(turn.prompt, turn.reply) for turn in dialogue] for dialogue in task.loaded("train", context_of(decoder_tokenizer()))["dialogue"]]

    return of


def test_the_path_of_the_best_replies_is_taken_up_to_the_last_one_answered(tmp_path: Path, dialogues: Any) -> None:
    assert dialogues(oasst(tmp_path, TREE)) == [[("Why?", "first"), ("And then?", "nobody ranked this")], [("Warum?", "Darum.")]]


def test_the_order_of_the_messages_does_not_matter(tmp_path: Path, dialogues: Any) -> None:
    assert sorted(dialogues(oasst(tmp_path, TREE[::-1]))) == sorted(dialogues(oasst(tmp_path, TREE)))


def test_dialogues_of_one_language(tmp_path: Path, dialogues: Any) -> None:
    assert dialogues(oasst(tmp_path, TREE, lang="de")) == [[("Warum?", "Darum.")]]


def test_samples_are_dialogues_and_not_messages(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer, max_length=256)
    (row,) = oasst(tmp_path, TREE, max_train_samples=1, lang="en").training_set(context).rows
    assert tokenizer.decode(row["input_ids"]) == "<s>### Human: Why?### Assistant: first</s>### Human: And then?### Assistant: nobody ranked this</s>"
    assert context.used.uses()[0].rows == 1


def test_trees_without_a_reply_or_without_their_root_are_left_out_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    alone = [message("3", None, "Anyone?", "prompter"), message("4.1", "4", "lost", "assistant")]
    context = context_of(decoder_tokenizer(), max_length=256)
    assert len(oasst(tmp_path, [*TREE, *alone]).training_set(context).rows) == 2
    assert "oasst1: 2 of 4 dialogues have no prompt or no reply and were left out" in context.notes


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (message("1", None, "again", "prompter"), "row 11, column message_id: '1' occurs a second time"),
        (message("", None, "a", "prompter"), "row 11, column message_id: empty"),
        (message("5", "1", "a", "prompter"), "row 11, column role: prompter answers prompter (row 1)"),
        (message("5", None, "a", "user"), "row 11, column role: not a known class"),
        (message("5", None, "a", "prompter", -1), "row 11, column rank: expected a whole number, 0 or more, or nothing; got -1"),
        (message("5", None, 5, "prompter"), "row 11, column text: expected a text; got 5"),  # type: ignore[arg-type]
    ],
)
def test_broken_trees_are_refused(more: dict[str, Any], says: str, tmp_path: Path, dialogues: Any) -> None:
    with pytest.raises(DataError) as caught:
        dialogues(oasst(tmp_path, [*TREE, more]))
    assert says in str(caught.value)
