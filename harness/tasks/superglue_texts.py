"""What SuperGLUE's rows are made into before a model reads them: marked words, cleaned passages, continued sentences."""

from __future__ import annotations

import re
from typing import Any

QUESTIONS = ("cause", "effect")  # copa's
PLACEHOLDER = "@placeholder"  # record's blank
_HIGHLIGHT = "@highlight\n"

Row = dict[str, Any]


def without_markup(text: str) -> str:
    """multirc's texts without their HTML, as T5's code cleans them."""
    return re.sub(r"</?b>", "", text.replace("<br>", " "))


def one_paragraph(passage: str) -> str:
    """record's passage with its highlights as sentences, as T5's code writes it."""
    joined = re.sub(r"([.?!\"'])\n" + _HIGHLIGHT, r"\1 ", passage)
    return joined.replace("\n" + _HIGHLIGHT, ". ")


def with_bullets(passage: str) -> str:
    """record's passage with its highlights as a list, as lm-eval writes it; the query goes on as its last point."""
    first, *highlights = passage.strip().split("\n" + _HIGHLIGHT)
    return first + "\n\n" + "".join(f"  - {highlight}.\n" for highlight in highlights)


def with_dashes(passage: str) -> str:
    """record's passage with a dash before each highlight, for the form head: as P-tuning v2's code has it."""
    return passage.replace(_HIGHLIGHT, "- ")


def filled_query(row: Row, entity: str) -> str:
    """record's query with an entity in its blank."""
    query: str = row["query"]
    return query.replace(PLACEHOLDER, entity)


def entities(row: Row) -> tuple[str, ...]:
    """record's candidates, each once, in their order."""
    return tuple(dict.fromkeys(row["entities"]))


def continued_premise(row: Row, because: str, therefore: str) -> str:
    """copa's premise and the word that its alternatives go on after."""
    return f"{row['premise']} {(because, therefore)[row['question']]}"


def lower_first(text: str) -> str:
    """The text with a small first letter."""
    return text[:1].lower() + text[1:]


def used_word(row: Row) -> str:
    """wic's word as the first sentence has it."""
    sentence: str = row["sentence1"]
    return sentence[row["start1"] : row["end1"]]


def marked_word(row: Row, number: int, mark: str = "*") -> str:
    """wic's sentence 1 or 2 with its word between marks."""
    sentence, start, end = row[f"sentence{number}"], row[f"start{number}"], row[f"end{number}"]
    return f"{sentence[:start]}{mark}{sentence[start:end]}{mark}{sentence[end:]}"


def span_start(text: str, span: str, index: int) -> int | None:
    """Where wsc's span begins in the text: at its word number `index`, else at the nearest word where it stands; None if nowhere.

    Some rows' numbers are off by a word or two.
    """
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    for number in sorted(range(len(starts)), key=lambda number: abs(number - index)):
        if text[starts[number] : starts[number] + len(span)].lower() == span.lower():
            return starts[number]
    return None


def marked_spans(row: Row) -> str:
    """wsc's text with the noun phrase between ` * ` and the pronoun between ` # `, as T5's code marks them; a span that is
    not found stays as it is."""
    text: str = row["text"]
    found = [(span_start(text, row[f"span{number}_text"], row[f"span{number}_index"]), row[f"span{number}_text"], mark) for number, mark in ((1, "*"), (2, "#"))]
    for start, span, mark in sorted(((start, span, mark) for start, span, mark in found if start is not None), reverse=True):
        end = start + len(span)
        text = f"{text[:start]}{mark} {text[start:end]} {mark}{text[end:]}"
    return text


def marked_pronoun(row: Row) -> str:
    """wsc's text with the pronoun between asterisks; as it is where the pronoun is not found."""
    text, pronoun = row["text"], row["span2_text"]
    start = span_start(text, pronoun, row["span2_index"])
    return text if start is None else f"{text[:start]}*{text[start : start + len(pronoun)]}*{text[start + len(pronoun) :]}"


def readable(text: str) -> str:
    """wsc's text with the blanks of its tokenization taken out, as lm-eval writes it."""
    for spaced, plain in ((" n't", "n't"), (" )", ")"), ("( ", "("), ('" ', '"'), (' "', '"')):
        text = text.replace(spaced, plain)
    return re.sub(r" (['.,])", r"\1", text)


def problem(name: str, row: Row) -> str | None:
    """What is wrong with a row beyond the type of each column, or None."""
    if name == "copa":
        return next((f"{column} is empty" for column in ("choice1", "choice2") if not row[column].strip()), None)
    if name == "record":
        if PLACEHOLDER not in row["query"]:
            return f"the query has no {PLACEHOLDER}"
        return "an entity is empty" if not all(entity.strip() for entity in row["entities"]) else None
    if name == "wic":
        for number in (1, 2):
            start, end, length = row[f"start{number}"], row[f"end{number}"], len(row[f"sentence{number}"])
            if not start < end <= length:
                return f"start{number} and end{number} are {start} and {end}; expected a place within the {length} characters of sentence{number}"
    if name == "wsc":
        return next((f"span{number}_text is empty" for number in (1, 2) if not row[f"span{number}_text"].strip()), None)
    return None
