"""How SuperGLUE's tasks are asked as prompts.

t5: Raffel et al. 2020 (T5), appendix D, and its code's preprocessors (text-to-text-transfer-transformer, t5/data/preprocessors.py).
lm-eval: lm-evaluation-harness 0.4.13, tasks/super_glue, which writes them after GPT-3's (Brown et al. 2020, appendix G).
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.tasks.prompted.forms import Prompt
from harness.tasks.superglue_datasets import SUPERGLUE, Row
from harness.tasks.superglue_texts import (
    QUESTIONS,
    continued_premise,
    entities,
    filled_query,
    lower_first,
    marked_pronoun,
    marked_spans,
    one_paragraph,
    readable,
    used_word,
    with_bullets,
    without_markup,
)

_NO_YES = ("no", "yes")

_T5 = {
    "boolq": "boolq passage: {passage} question: {question}",
    "cb": "cb hypothesis: {hypothesis} premise: {premise}",
    "copa": "copa choice1: {choice1} choice2: {choice2} premise: {premise} question: {question}",
    "multirc": "multirc question: {question} answer: {answer} paragraph: {paragraph}",
    "record": "record query: {query} entities: {entities} passage: {passage}",
    "rte": "rte hypothesis: {hypothesis} premise: {premise}",
    "wic": "wic sentence1: {sentence1} sentence2: {sentence2} word: {word}",
    "wsc": "wsc text: {text_marked}",
    "axb": "rte hypothesis: {sentence2} premise: {sentence1}",
    "axg": "rte hypothesis: {hypothesis} premise: {premise}",
}
_LM_EVAL = {
    "boolq": Prompt("{passage}\nQuestion: {question}?\nAnswer:", _NO_YES),
    "cb": Prompt("{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:", ("True", "False", "Neither")),
    "copa": Prompt("{premise_continued}"),
    "multirc": Prompt("{paragraph}\nQuestion: {question}\nAnswer: {answer}\nIs the answer correct?", _NO_YES),
    "record": Prompt("{passage_bulleted}"),
    "rte": Prompt("{premise}\nQuestion: {hypothesis} True or False?\nAnswer:", ("True", "False")),
    "wic": Prompt(
        "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
        "Question: Is the word '{word_used}' used in the same way in the two sentences above?\nAnswer:",
        _NO_YES,
    ),
    "wsc": Prompt(
        'Passage: {text_pronoun}\nQuestion: In the passage above, does the pronoun "*{span2_text}*" refer to "*{span1_text}*"?\nAnswer:',
        _NO_YES,
    ),
}

# What a template may ask for: of each task the columns, and what is made of them.
TEXT_COLUMNS = {
    "boolq": ("passage", "question"),
    "cb": ("premise", "hypothesis"),
    "copa": ("premise", "choice1", "choice2", "question", "premise_continued"),
    "multirc": ("paragraph", "question", "answer"),
    "record": ("passage", "query", "entities", "passage_bulleted"),
    "rte": ("premise", "hypothesis"),
    "wic": ("word", "sentence1", "sentence2", "word_used"),
    "wsc": ("text", "span1_text", "span2_text", "text_marked", "text_pronoun"),
    "axb": ("sentence1", "sentence2"),
    "axg": ("premise", "hypothesis"),
}


def superglue_styles(name: str) -> Mapping[str, Prompt]:
    """The prompts of a task by their style; lm-eval does not ask axb and axg."""
    styles = {"t5": Prompt(_T5[name], SUPERGLUE[name].classes, ended=name == "record")}
    if name in _LM_EVAL:
        styles["lm-eval"] = _LM_EVAL[name]
    return styles


def superglue_texts(name: str, row: Row, style: str) -> dict[str, str]:
    """What a row puts in the place of each of the task's TEXT_COLUMNS."""
    made: dict[str, str] = {}
    if name == "copa":
        opened = {**row, "premise": row["premise"].strip()[:-1]}  # without its full stop
        made = {"question": QUESTIONS[row["question"]], "premise_continued": continued_premise(opened, "because", "therefore")}
    elif name == "multirc" and style == "t5":
        made = {column: without_markup(row[column]) for column in TEXT_COLUMNS[name]}
    elif name == "record":
        made = {"entities": ", ".join(row["entities"]), "passage_bulleted": with_bullets(row["passage"]), "passage": one_paragraph(row["passage"])}
    elif name == "wic":
        made = {"word_used": used_word(row)}
    elif name == "wsc":
        made = {"text_marked": marked_spans(row), "text_pronoun": readable(marked_pronoun(row))}
    return {column: made[column] if column in made else row[column] for column in TEXT_COLUMNS[name]}


def own_answers(name: str, row: Row, style: str) -> tuple[str, ...]:
    """The answers of a row whose answers are its own: record's entities, in lm-eval's form within the query, and there copa's
    alternatives, which go on the sentence. (Three blanks: lm-eval puts its own before the two of the list.)"""
    if name == "copa":
        return tuple(lower_first(row[column]) for column in ("choice1", "choice2"))
    if style == "t5":
        return entities(row)
    return tuple("   - " + filled_query(row, entity) for entity in entities(row))
