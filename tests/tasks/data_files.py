"""A few rows, and how they are written in each format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from harness.tasks.glue_datasets import GLUE
from harness.tasks.rows.source import Source

ROWS = [
    {"sentence1": 'He said "no, never".', "sentence2": "Ünïcode, and a comma", "label": 1, "idx": 0},
    {"sentence1": '"Quoted whole."', "sentence2": "", "label": 0, "idx": 1},
    {"sentence1": "A line\u2028separator", "sentence2": "None", "label": 1, "idx": 2},
]
QUESTIONS = [
    {"question": "What is 1 + 1?", "subject": "arithmetic", "choices": ["1", "2", "it's \"3\"", "4, or 5"], "answer": 1},
    {"question": "And 2 + 2?\nThink.", "subject": "arithmetic", "choices": ["1", "2", "3", "4"], "answer": 3},
]


def write(path: Path, rows: list[dict[str, Any]], *, array: bool = True) -> Path:
    """Writes rows as the file's suffix says, with pandas where pandas writes it."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl" or not array:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def rte(folder: Path) -> Source:
    return Source(GLUE["rte"].dataset(), str(folder))
