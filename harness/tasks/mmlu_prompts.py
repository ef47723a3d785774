"""MMLU's prompts, character by character.

Sources: Hendrycks et al. 2021, evaluate.py of their repository; lm-eval 0.4, tasks `mmlu` and `mmlu_continuation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LETTERS = "ABCD"
ENDING = "\nAnswer:"
LETTER_ANSWERS = tuple(f" {letter}" for letter in LETTERS)


@dataclass(frozen=True)
class PromptForm:
    """One way to ask. A row is `question`, `subject`, `choices` (four texts) and `answer` (index).

    heading: what the prompt says that it holds. strips: whether blanks around a question go. lettered: whether the choices
    stand under it with letters, which are the answers then; otherwise only the right one is ever seen, written out.
    """

    heading: str
    strips: bool
    lettered: bool

    def prompt(self, row: dict[str, Any], shots: Sequence[dict[str, Any]]) -> str:
        """Heading, solved examples, the question, and `Answer:` for the model to go on. The heading names the row's subject;
        auxiliary_train has none."""
        about = f" about {row['subject'].replace('_', ' ')}" if row["subject"] else ""
        heading = f"The following are {self.heading} (with answers){about}.\n\n"
        solved = "".join(f"{self._unanswered(shot)}{self.answers(shot)[shot['answer']]}\n\n" for shot in shots)
        return heading + solved + self._unanswered(row)

    def answers(self, row: dict[str, Any]) -> tuple[str, ...]:
        """What may follow the prompt, the blank before it included."""
        return LETTER_ANSWERS if self.lettered else tuple(f" {choice}" for choice in row["choices"])

    def _unanswered(self, row: dict[str, Any]) -> str:
        question = row["question"].strip() if self.strips else row["question"]
        if not self.lettered:
            return f"Question: {question}{ENDING}"
        choices = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=True))
        return f"{question}{choices}{ENDING}"


HENDRYCKS = PromptForm("multiple choice questions", strips=False, lettered=True)
LM_EVAL = PromptForm("multiple choice questions", strips=True, lettered=True)
LM_EVAL_CONTINUATION = PromptForm("questions", strips=True, lettered=False)
