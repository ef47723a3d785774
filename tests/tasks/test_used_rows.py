"""Which rows a cell read, and which of those evaluated it was trained on."""

from __future__ import annotations

from harness.tasks.base import TASKS
from harness.tasks.used_rows import UsedRows, normalised_text


def used(training: list[str], evaluation: list[str]) -> tuple[int | None, int | None]:
    rows = UsedRows()
    rows.see("evaluation", "quiz", "test", {"question": evaluation}, evaluation)
    rows.see("training", "quiz", "train", {"question": training}, training)
    found = {use.role: use for use in rows.uses()}
    assert found["training"].trained_on is None
    return found["evaluation"].trained_on, found["evaluation"].trained_on_normalised


def test_rows_trained_on_are_found_to_the_letter_and_normalised() -> None:
    training = ["What is a cell?", "who wrote  this?", "ﬁne"]
    assert used(training, ["What is a cell?", "Who wrote this", "fine!", "another"]) == (1, 3)
    assert used(training, ["something else"]) == (0, 0)
    assert used(["a", "a"], ["a", "a", "b"]) == (2, 2), "every row evaluated counts"


def test_rows_that_ask_nothing_are_never_the_same() -> None:
    assert used(["", " ", "?!"], ["", " ", "?!"]) == (1, 0), "punctuation alone is the same to the letter only"


def test_without_training_nothing_is_compared() -> None:
    rows = UsedRows()
    rows.see("evaluation", "quiz", "test", {"question": ["a"]}, ["a"])
    (use,) = rows.uses()
    assert (use.rows, use.trained_on, use.trained_on_normalised) == (1, None, None)


def test_the_hash_is_over_content_and_order_and_rows_read_twice_count_once() -> None:
    def hash_of(*columns: dict[str, list[str]]) -> list[str]:
        rows = UsedRows()
        for each in columns:
            rows.see("evaluation", "quiz", "test", each, each["question"])
        return [use.sha256 for use in rows.uses()]

    first = hash_of({"question": ["a", "b"], "answer": ["x", "y"]})
    assert first == hash_of({"answer": ["x", "y"], "question": ["a", "b"]}) == hash_of({"question": ["a", "b"], "answer": ["x", "y"]}, {"question": ["c"]})
    assert first != hash_of({"question": ["b", "a"], "answer": ["y", "x"]})
    assert first != hash_of({"question": ["a", "b"], "answer": ["x", "z"]})


def test_two_tasks_of_one_name_may_read_different_rows_and_the_same_ones_count_once() -> None:
    rows = UsedRows()
    rows.see("training", "text", "train", {"text": ["b"]}, ["b"])
    for reader, text in (("a.txt", "a"), ("b.txt", "b"), ("b.txt under another protocol", "b")):
        rows.see("evaluation", "text", "test", {"text": [text]}, [text], reader=reader)
    assert [use.trained_on for use in rows.uses() if use.role == "evaluation"] == [0, 1]


def test_a_cell_that_refuses_leakage_is_another_than_one_that_reports_it() -> None:
    """Else a record that was made in spite of it would stand for the cell that refuses."""
    reports, refuses = (TASKS.get("glue/sst2").model_validate({"task": "glue/sst2"} | more).identity() for more in ({}, {"leakage": "refuse"}))
    assert "leakage" not in reports, "cells keep their ids"
    assert refuses["leakage"] == "refuse"


def test_normalising_keeps_letters_and_digits_of_every_script() -> None:
    assert normalised_text("  Ｈello,\tWORLD—42 ä 汉字! ") == "hello world 42 ä 汉字"
