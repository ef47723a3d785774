"""MMLU's prompt, character by character. Source: Hendrycks et al. 2021, evaluate.py of their repository."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LETTERS = "ABCD"
ENDING = "\nAnswer:"
ANSWERS = tuple(f" {letter}" for letter in LETTERS)


def few_shot_prompt(row: dict[str, Any], shots: Sequence[dict[str, Any]]) -> str:
    """Heading, solved examples, the question, and `Answer:` for the model to go on.

    row, shots: `question`, `subject`, `choices` (four texts), `answer` (index). The heading names the row's
    subject; auxiliary_train has none.
    """
    about = f" about {row['subject'].replace('_', ' ')}" if row["subject"] else ""
    heading = f"The following are multiple choice questions (with answers){about}.\n\n"
    solved = "".join(f"{_unanswered(shot)}{ANSWERS[shot['answer']]}\n\n" for shot in shots)
    return heading + solved + _unanswered(row)


def _unanswered(row: dict[str, Any]) -> str:
    choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=True))
    return f"{row['question']}{choices}{ENDING}"
