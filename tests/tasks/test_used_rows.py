"""Which rows a cell read, and which of those evaluated it was trained on."""

from __future__ import annotations

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


def test_normalising_keeps_letters_and_digits_of_every_script() -> None:
    assert normalised_text("  Ｈello,\tWORLD—42 ä 汉字! ") == "hello world 42 ä 汉字"
