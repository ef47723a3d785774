"""The final answer of a written solution, and whether two are the same.

Source: the rules of PEFT's method comparison, huggingface/peft, method_comparison/MetaMathQA/utils.py at 5d602fdb.
"""

from __future__ import annotations

from decimal import Decimal

ANSWER_MARKS = ("The answer is: ", "The answer is ", "The final answer is: ", "The final answer is ", "#### ")  # MetaMath's, then GSM8K's


def final_answer(text: str) -> str | None:
    """What stands behind the last mark of an answer, to the end of its line, without signs around it; None without a mark.

    Of several kinds of marks in a text the first in ANSWER_MARKS counts, wherever it stands.
    """
    text = text.strip().rstrip(".!?")
    mark = next((mark for mark in ANSWER_MARKS if mark in text), None)
    if mark is None:
        return None
    line = text.rpartition(mark)[2].strip().split("\n", 1)[0]
    return line.strip(" .!?$%")


def same_answer(found: str | None, right: str) -> bool:
    """Whether both are the same number, decimal or fraction (`20/40` is `0.5`), or neither is one and both are the same text."""
    if found is None:
        return False
    number, expected = _number(found), _number(right)
    if number is None or expected is None:
        return number is expected and found == right
    return number == expected


def _number(text: str) -> float | None:
    """A decimal number or a fraction of two, in double precision, which fractions need; None for anything else."""
    parts = text.split("/")
    try:
        values = [Decimal(part.strip()) for part in parts]
        return float(values[0]) if len(values) == 1 else float(values[0] / values[1]) if len(values) == 2 else None
    except (ArithmeticError, ValueError):
        return None
