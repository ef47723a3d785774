"""A few good rows of every task that reads rows of its own, as a local file has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superglue_rows import ROWS as SUPERGLUE

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """rows: good ones, written as every split of `splits`. fields: of the task, that keep it quick. classes: columns that hold one.
    texts: columns that hold a text that a person wrote. answer: the column that holds the answer."""

    rows: Rows
    splits: tuple[str, ...]
    texts: tuple[str, ...]
    answer: str | None = None
    classes: tuple[str, ...] = ()
    fields: tuple[tuple[str, Any], ...] = ()
    quick: bool = True  # to evaluate

    def write(self, folder: Path, rows: Rows | None = None) -> Path:
        """The folder with one jsonl file per split."""
        for split in self.splits:
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows or self.rows), encoding="utf-8")
        return folder


QUICK = (("max_new_tokens", 4),)
PAIRS = [{"sentence1": f"The {word} is long.", "sentence2": "It is.", "label": number % 2} for number, word in enumerate(("first", "second", "third", "fourth"))]
SCORES = [{**row, "label": float(number)} for number, row in enumerate(PAIRS)]
QUESTIONS = [
    {"question": f"What is {number} + 1?", "subject": "arithmetic", "choices": ["1", "2", "3", "4"], "answer": number % 4} for number in range(4)
]
TEXTS = [{"text": f"The line with the number {number} is a long line and says little."} for number in range(30)]
WORD_PROBLEMS = [{"question": f"Ann has {number} nuts. How many?", "answer": f"She has {number}.\n#### {number}"} for number in range(1, 4)]
SUMMARIES = [{"document": f"The document {number} is long. It says much.", "summary": "A long document."} for number in range(3)]
READING = [{"id": str(number), "context": "Ann Lee sleeps in Rome.", "question": "Who sleeps?", "answers": {"text": ["Ann Lee"], "answer_start": [0]}} for number in range(3)]
MESSAGES = [
    {"message_id": "a", "parent_id": None, "text": "Hello?", "role": "prompter", "lang": "en", "rank": None},
    {"message_id": "b", "parent_id": "a", "text": "Hi!", "role": "assistant", "lang": "en", "rank": 0},
]

SAMPLES: dict[str, Sample] = {
    "glue/rte": Sample(PAIRS, ("train", "validation"), ("sentence1", "sentence2"), "label", ("label",)),
    "glue/stsb": Sample(SCORES, ("train", "validation"), ("sentence1", "sentence2"), "label", ("label",)),
    "superglue/boolq": Sample(SUPERGLUE["boolq"], ("train", "validation"), ("question", "passage"), "label", ("label",)),
    "superglue/copa": Sample(SUPERGLUE["copa"], ("train", "validation"), ("premise", "choice1", "choice2"), "label", ("label",)),
    "superglue/multirc": Sample(SUPERGLUE["multirc"], ("train", "validation"), ("paragraph", "question", "answer"), "label", ("label",)),
    "superglue/record": Sample(SUPERGLUE["record"], ("train", "validation"), ("passage", "query"), "answers"),
    "squad": Sample(READING, ("train", "validation"), ("question", "context"), "answers", quick=False),
    "mmlu": Sample(QUESTIONS, ("auxiliary_train", "test"), ("question",), "answer", ("answer",), (("num_fewshot", 0),)),
    "wikitext2": Sample(TEXTS, ("train", "test"), ("text",), fields=(("max_eval_samples", 2),)),
    "text": Sample(TEXTS, ("train", "test"), ("text",), fields=(("max_eval_samples", 2),)),
    "gsm8k": Sample(WORD_PROBLEMS, ("train", "test"), ("question",), "answer", fields=(("max_eval_samples", 1),), quick=False),
    "metamathqa": Sample([{"query": row["question"], "response": row["answer"]} for row in WORD_PROBLEMS], ("train",), ("query", "response"), "response"),
    "alpaca": Sample([{"instruction": "Add.", "input": "1 and 2", "output": "3"}] * 3, ("train",), ("instruction", "output"), "output"),
    "flan": Sample([{"inputs": "Add 1 and 2.", "targets": "3"}] * 3, ("train",), ("inputs", "targets"), "targets"),
    "oasst1": Sample(MESSAGES, ("train",), ("text",), "text", ("role",)),
    "openassistant-guanaco": Sample([{"text": "### Human: Hello?### Assistant: Hi!"}] * 3, ("train",), ("text",), "text"),
    "adgen": Sample([{"content": "type#skirt", "summary": "A skirt."}] * 3, ("train", "validation"), ("content", "summary"), "summary", fields=QUICK),
    "e2e": Sample([{"meaning_representation": "name[Alimentum], area[city]", "human_reference": "Alimentum is in the city."}] * 3, ("train", "test"), ("meaning_representation", "human_reference"), "human_reference", fields=QUICK),
    "webnlg": Sample([{"input": ["Aarhus | leader | Jacob"], "target": "Jacob leads Aarhus.", "references": ["Jacob leads it."]}] * 3, ("train", "test"), ("target",), "target", fields=QUICK),
    "xsum": Sample(SUMMARIES, ("train", "test"), ("document", "summary"), "summary", fields=QUICK),
}  # fmt: skip
