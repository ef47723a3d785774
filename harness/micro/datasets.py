"""The embedded data sets: rows from the grammar, in the columns and types of the real ones, as parquet files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness.micro import DATA_SETS
from harness.micro.acceptability import sentence
from harness.micro.articles import article_rows
from harness.micro.instructions import instruction
from harness.micro.pairs import entailment_pair, paraphrase_pair, similarity_pair
from harness.micro.quiz import SHOTS, SUBJECTS, questions
from harness.micro.reading import reading
from harness.micro.reviews import review
from harness.micro.word_problems import rephrased_problem, word_problem
from harness.micro.world import World, make_world

DATA_SEED = 11
Row = dict[str, Any]

ARTICLES = {"train": 600, "validation": 100, "test": 100}
GLUE_ROWS = {"train": 2400, "validation": 400, "test": 400}
READING = {"train": 800, "validation": 160}
GENERATED: dict[str, tuple[Callable[[World, random.Random], Row], dict[str, int]]] = {
    "alpaca": (instruction, {"train": 600}),
    "gsm8k": (word_problem, {"train": 50, "test": 40}),
    "metamathqa": (rephrased_problem, {"train": 90}),
}

_LABELLED = {"label": "int64", "idx": "int64"}
_TEXT_PAIR = {"sentence1": "large_string", "sentence2": "large_string"}
COLUMNS: dict[str, dict[str, str]] = {
    "wikitext": {"text": "large_string"},
    "glue/cola": {"sentence": "large_string", **_LABELLED},
    "glue/sst2": {"sentence": "large_string", **_LABELLED},
    "glue/mrpc": {**_TEXT_PAIR, **_LABELLED},
    "glue/rte": {**_TEXT_PAIR, **_LABELLED},
    "glue/stsb": {**_TEXT_PAIR, "label": "float32", "idx": "int64"},
    "mmlu": {"question": "large_string", "subject": "large_string", "choices": "list<string>", "answer": "int64"},
    "alpaca": {"instruction": "large_string", "input": "large_string", "output": "large_string"},
    "gsm8k": {"question": "string", "answer": "string"},
    "metamathqa": {"query": "string", "response": "string"},
    "squad": {"id": "string", "title": "string", "context": "string", "question": "string", "answers": "spans"},
}


def _cola(draw: random.Random) -> Row:
    acceptable = draw.random() < 0.7
    return {"sentence": sentence(draw, acceptable), "label": int(acceptable)}


def _sst2(draw: random.Random) -> Row:
    positive = draw.random() < 0.55
    return {"sentence": review(draw, positive), "label": int(positive)}


def _mrpc(draw: random.Random) -> Row:
    same = draw.random() < 2 / 3
    one, other = paraphrase_pair(draw, same)
    return {"sentence1": one, "sentence2": other, "label": int(same)}


def _rte(draw: random.Random) -> Row:
    entailed = draw.random() < 0.5
    premise, hypothesis = entailment_pair(draw, entailed)
    return {"sentence1": premise, "sentence2": hypothesis, "label": int(not entailed)}


def _stsb(draw: random.Random) -> Row:
    one, other, score = similarity_pair(draw)
    return {"sentence1": one, "sentence2": other, "label": score}


GLUE: dict[str, Callable[[random.Random], Row]] = {"cola": _cola, "sst2": _sst2, "mrpc": _mrpc, "rte": _rte, "stsb": _stsb}


def splits(name: str, seed: int = DATA_SEED) -> dict[str, list[Row]]:
    """The rows of one of DATA_SETS, by split: a function of name and seed alone; no text is in two splits of GLUE."""
    draw = random.Random(f"data/{name}/{seed}")
    if name == "wikitext":
        world = make_world()
        return {split: [{"text": row} for row in article_rows(world, count, draw)] for split, count in ARTICLES.items()}
    if name == "mmlu":
        return _mmlu(draw)
    if name in GENERATED:
        make, counts = GENERATED[name]
        made = _distinct(partial(make, make_world()), draw)
        return {split: [next(made) for _ in range(count)] for split, count in counts.items()}
    if name == "squad":
        read = _distinct(partial(reading, make_world()), draw)
        return {split: [{"id": f"{split}-{i}", **next(read)} for i in range(count)] for split, count in READING.items()}
    rows = _distinct(GLUE[name.removeprefix("glue/")], draw)
    return {split: [{**next(rows), "idx": i} for i in range(count)] for split, count in GLUE_ROWS.items()}


def _distinct(make: Callable[[random.Random], Row], draw: random.Random) -> Iterator[Row]:
    seen: set[tuple[str, ...]] = set()
    while True:
        row = make(draw)
        texts = tuple(value for value in row.values() if isinstance(value, str))
        if texts not in seen:
            seen.add(texts)
            yield row


def _mmlu(draw: random.Random) -> dict[str, list[Row]]:
    world = make_world()
    found: dict[str, list[Row]] = {"dev": [], "test": []}
    for subject in SUBJECTS:
        asked = [{"question": q.question, "subject": subject, "choices": list(q.choices), "answer": q.answer}
                 for q in questions(world, subject, draw)]
        found["dev"] += asked[:SHOTS]
        found["test"] += asked[SHOTS:]
    return found


def write(folder: Path) -> None:
    """Writes every data set below `folder`, one parquet file per split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "large_string": pa.large_string(), "string": pa.string(), "int64": pa.int64(), "float32": pa.float32(), "list<string>": pa.list_(pa.string()),
        "spans": pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))]),
    }  # fmt: skip
    for name in DATA_SETS:
        schema = pa.schema([(column, types[kind]) for column, kind in COLUMNS[name].items()])
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split, rows in splits(name).items():
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(table, folder / name / f"{split}.parquet", compression="zstd")
