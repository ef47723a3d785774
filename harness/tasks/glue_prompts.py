"""How the nine GLUE tasks are asked as prompts.

t5: Raffel et al. 2020 (T5), appendix D, and its code's preprocessors: the task's name, then each column's name and text.
lm-eval: lm-evaluation-harness 0.4.13, tasks/glue.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.tasks.glue_datasets import GLUE
from harness.tasks.prompted.forms import Prompt

SCORES = tuple(f"{number / 5:.1f}" for number in range(26))  # stsb's as T5 writes them: 0.0, 0.2, ... 5.0
_NO_YES, _YES_NO = ("no", "yes"), ("yes", "no")
_QUESTION = "\nQuestion: {}\nAnswer:"

_T5 = {
    "cola": "cola sentence: {sentence}",
    "sst2": "sst2 sentence: {sentence}",
    "mrpc": "mrpc sentence1: {sentence1} sentence2: {sentence2}",
    "qqp": "qqp question1: {question1} question2: {question2}",
    "stsb": "stsb sentence1: {sentence1} sentence2: {sentence2}",
    "mnli": "mnli hypothesis: {hypothesis} premise: {premise}",
    "qnli": "qnli question: {question} sentence: {sentence}",
    "rte": "rte sentence1: {sentence1} sentence2: {sentence2}",
    "wnli": "wnli sentence1: {sentence1} sentence2: {sentence2}",
}
_LM_EVAL = {
    "cola": ("{sentence}" + _QUESTION.format("Does this sentence make sense?"), _NO_YES),
    "sst2": ("{sentence}" + _QUESTION.format("Is this sentence positive or negative?"), ("negative", "positive")),
    "mrpc": ("Sentence 1: {sentence1}\nSentence 2: {sentence2}" + _QUESTION.format("Do both sentences mean the same thing?"), _NO_YES),
    "qqp": ("Question 1: {question1}\nQuestion 2: {question2}" + _QUESTION.format("Do both questions ask the same thing?"), _NO_YES),
    "mnli": ("{premise}" + _QUESTION.format("{hypothesis_ended} True, False or Neither?"), ("True", "Neither", "False")),
    "qnli": ("{question}\n{sentence}" + _QUESTION.format("Does this response answer the question?"), _YES_NO),
    "rte": ("{sentence1}" + _QUESTION.format("{sentence2} True or False?"), ("True", "False")),
    "wnli": ("{sentence1}" + _QUESTION.format("{sentence2} True or False?"), ("False", "True")),
}  # fmt: skip


def glue_styles(name: str) -> Mapping[str, Prompt]:
    """The prompts of a task by their style; stsb has T5's alone, because lm-eval does not ask it."""
    styles = {"t5": Prompt(_T5[name], GLUE[name].classes or SCORES)}
    if name in _LM_EVAL:
        styles["lm-eval"] = Prompt(*_LM_EVAL[name])
    return styles


def ended(text: str) -> str:
    """The text without white space around it, with a full stop where it has none."""
    text = text.strip()
    return text if text.endswith(".") else text + "."


def score_place(score: float) -> int:
    """The place of a score in SCORES after T5's rounding: to the nearest fifth, halves to the even one."""
    return round(score * 5)
