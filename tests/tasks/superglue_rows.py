"""Rows of every SuperGLUE task by hand, in the columns of the hub's aps/super_glue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS: dict[str, list[dict[str, Any]]] = {
    "boolq": [
        {"question": "is the answer long", "passage": "The answer is long. Nobody knew.", "idx": 0, "label": 1},
        {"question": "is a question short", "passage": "Questions -- of which (some) are long.", "idx": 1, "label": 0},
        {"question": "do questions know", "passage": "", "idx": 2, "label": 1},
    ],
    "cb": [
        {"premise": "It was not known. I think the answer was A.", "hypothesis": "the answer was A", "idx": 0, "label": 0},
        {"premise": "B: I don't think so.", "hypothesis": "so it is", "idx": 1, "label": 1},
        {"premise": "Is it? Who knew which?", "hypothesis": "nobody knew which", "idx": 2, "label": 2},
        {"premise": "Questions are answered.", "hypothesis": "they are", "idx": 3, "label": 1},
    ],
    "copa": [
        {"premise": "My body cast a shadow over the grass.", "choice1": "The sun was rising.", "choice2": "The grass was cut.", "question": "cause", "idx": 0, "label": 0},
        {"premise": "The question was long.", "choice1": "I slept.", "choice2": "I answered it at length.", "question": "effect", "idx": 1, "label": 1},
    ],
    "multirc": [
        {"paragraph": "<b>Sent 1: </b>Susan was sick.<br><b>Sent 2: </b>She slept.", "question": "Who slept?", "answer": "Susan", "idx": {"paragraph": 0, "question": 0, "answer": 0}, "label": 1},
        {"paragraph": "<b>Sent 1: </b>Susan was sick.<br><b>Sent 2: </b>She slept.", "question": "Who slept?", "answer": "Nobody", "idx": {"paragraph": 0, "question": 0, "answer": 1}, "label": 0},
        {"paragraph": "<b>Sent 1: </b>Susan was sick.<br><b>Sent 2: </b>She slept.", "question": "Why?", "answer": "She was sick", "idx": {"paragraph": 0, "question": 1, "answer": 2}, "label": 1},
        {"paragraph": "Another.", "question": "Which?", "answer": "Another", "idx": {"paragraph": 1, "question": 0, "answer": 0}, "label": 1},
        {"paragraph": "Another.", "question": "Which?", "answer": "None", "idx": {"paragraph": 1, "question": 0, "answer": 1}, "label": 0},
    ],
    "record": [
        {
            "passage": "Ann Lee met the Tigers in Rome.\n@highlight\nAnn was there\n@highlight\nRome answered", "query": "The team called @placeholder lost in Rome.",
            "entities": ["Ann Lee", "Rome", "Tigers", "Ann", "Rome"], "answers": ["Tigers"], "idx": {"passage": 0, "query": 0},
        },
        {
            "passage": "Which question?\n@highlight\nBob Ray asked it", "query": "@placeholder asked which",
            "entities": ["Bob Ray", "Ray", "The Question"], "answers": ["Bob Ray", "Ray", "Bob Ray"], "idx": {"passage": 1, "query": 0},
        },
    ],
    "rte": [
        {"premise": "The answer was found in Rome.", "hypothesis": "Rome has the answer.", "idx": 0, "label": 0},
        {"premise": "Nobody knew.", "hypothesis": "Everybody knew.", "idx": 1, "label": 1},
    ],
    "wic": [
        {"word": "place", "sentence1": "Do you want to come over to my place later?", "sentence2": "A political system with no place for the less prominent.", "start1": 31, "start2": 27, "end1": 36, "end2": 32, "idx": 0, "label": 0},
        {"word": "answer", "sentence1": "He answered at length.", "sentence2": "I answer.", "start1": 3, "start2": 2, "end1": 11, "end2": 8, "idx": 1, "label": 1},
    ],
    "wsc": [
        {"text": "Mark told Pete many lies about himself , which Pete included in his book . He should n't have .", "span1_index": 0, "span2_index": 15, "span1_text": "Mark", "span2_text": "He", "idx": 0, "label": 0},
        {"text": "Bob asked Tom if he could lend some money.", "span1_index": 2, "span2_index": 4, "span1_text": "Tom", "span2_text": "he", "idx": 1, "label": 1},
    ],
    "axb": [
        {"sentence1": "The cat sat.", "sentence2": "The cat did not sit.", "idx": 0, "label": 1},
        {"sentence1": "A long answer.", "sentence2": "An answer.", "idx": 1, "label": 0},
    ],
    "axg": [
        {"premise": "The nurse asked him a question.", "hypothesis": "He was asked.", "idx": 0, "label": 0},
        {"premise": "The nurse asked her a question.", "hypothesis": "The nurse was asked.", "idx": 1, "label": 1},
    ],
}  # fmt: skip


def write_superglue(name: str, folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """The rows of a task as jsonl, in every split that it reads."""
    lines = "".join(json.dumps(row) + "\n" for row in (ROWS[name] if rows is None else rows))
    for split in ("test",) if name in ("axb", "axg") else ("train", "validation"):
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder
