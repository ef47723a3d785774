"""From a calibration's texts to tokens: drawn as the GPTQ code draws them, and what the record is to tell of them."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, Unsupported
from harness.needs import ModelFacts
from harness.quantization.calibration import Calibration
from harness.quantization.calibration_sets import MICRO, NAMED, TRAIN, NamedSet
from harness.records.schema import CalibrationSeen
from harness.tasks.base import Task, TaskContext
from harness.tasks.perplexity.windows import drawn
from harness.tasks.rows.readers import Request, read_columns
from harness.tasks.rows.source import draw

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

Tokens = list[int]


@dataclass(frozen=True)
class Drawn:
    """samples: token ids, each of shape (tokens,), on the CPU. notes: what the record must tell of them."""

    samples: list[torch.Tensor]
    seen: CalibrationSeen
    notes: list[str]


def draw_samples(calibration: Calibration, tokenizer: PreTrainedTokenizerBase, facts: ModelFacts, task: Task) -> Drawn:
    """The calibration's samples for a model: the same for the same texts, tokenizer, length and seed.

    task: whose training split the set `task` is. Raises DataError for texts that cannot be read or give no tokens, Unsupported for the set
    `task` where the task trains on nothing.
    """
    import torch

    length = min(calibration.length, facts.context or calibration.length)
    notes: list[str] = []
    if length < calibration.length:
        notes.append(f"calibration: samples are cut to the model's context of {length} tokens; {calibration.length} were asked for")
    named = MICRO if calibration.set == "micro" else NAMED.get(calibration.set)
    if named is not None:
        rows = _from_rows(calibration, named, tokenizer, length, notes)
    elif calibration.set == "task":
        rows = _from_task(calibration, task, tokenizer, facts, length)
    else:
        rows = _from_texts(calibration, tokenizer, length)
    rows = [row for row in rows if row]
    if not rows:
        raise DataError(f"calibration on {_name(calibration)}: there is no text in it, or none that the tokenizer makes a token of")
    seen = CalibrationSeen(set=calibration.set, samples=len(rows), tokens=sum(map(len, rows)), shortest=min(map(len, rows)))
    notes += _shortfall(calibration, rows, length)
    return Drawn([torch.tensor(row, dtype=torch.long) for row in rows], seen, notes)


def _from_rows(calibration: Calibration, named: NamedSet, tokenizer: Any, length: int, notes: list[str]) -> list[Tokens]:
    source = calibration.source()
    assert source is not None, "a named set has one"
    texts = source.load(TRAIN)[named.column]
    if named.joined is None:
        return _from_documents(texts, tokenizer, calibration, length)
    tokens = _tokens(tokenizer, named.joined.join(texts))
    if length < len(tokens) < calibration.samples * length:
        notes.append(f"calibration on {_name(calibration)}: its {len(tokens):,} tokens are fewer than the samples', which overlap")
    return _windows(tokens, calibration, length)


def _windows(tokens: Tokens, calibration: Calibration, length: int) -> list[Tokens]:
    """Windows of `length` tokens at random places of one text, with replacement; all of a text that is not longer."""
    if len(tokens) <= length:
        return [tokens]
    chance = random.Random(calibration.seed)
    return [_window(tokens, chance, length) for _ in range(calibration.samples)]


def _window(tokens: Tokens, chance: random.Random, length: int) -> Tokens:
    start = chance.randint(0, len(tokens) - length - 1)
    return tokens[start : start + length]


def _from_documents(texts: Sequence[str], tokenizer: Any, calibration: Calibration, length: int) -> list[Tokens]:
    """A random window each of random documents that are longer than `length`, with replacement; where none is, the longest as they are."""
    chance = random.Random(calibration.seed)
    windows, short = drawn(texts, lambda text: _tokens(tokenizer, text), calibration.samples, length, chance)
    return windows or sorted(short, key=len, reverse=True)[: calibration.samples]


def _from_task(
    calibration: Calibration, task: Task, tokenizer: PreTrainedTokenizerBase, facts: ModelFacts, length: int
) -> list[Tokens]:
    """The inputs of the task's training rows, as training would see them."""
    if not task.trainable:
        raise Unsupported(f"calibration on the task's own training split: {task.task} has none; name another set")
    context = TaskContext(tokenizer, facts, max_length=length, eval_batch_size=1, seed=calibration.seed)
    rows = task.training_set(context).rows
    return [[int(token) for token in rows[index]["input_ids"]][:length] for index in draw(len(rows), calibration.samples, calibration.seed)]


def _from_texts(calibration: Calibration, tokenizer: Any, length: int) -> list[Tokens]:
    """The texts given, each cut to `length` tokens; as many as are asked for, drawn where there are more."""
    texts = calibration.texts if calibration.file is None else _read(Path(os.path.expanduser(calibration.file)))
    assert texts is not None, "one of them is given: Calibration sees to it"
    texts = [text for text in texts if text.strip()]
    return [_tokens(tokenizer, texts[index])[:length] for index in draw(len(texts), calibration.samples, calibration.seed)]


def _read(path: Path) -> list[str]:
    """The texts of a file: a line each, or the key `text` of each line's JSON object. Raises DataError."""
    if path.suffix.lower() == ".txt":
        try:
            # Not splitlines(): that also splits at U+2028, form feeds and the like inside a text.
            return path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"calibration file {path} cannot be read: {error}") from error
    columns = read_columns(path, Request(lambda names: _text_column(names, path)))
    texts = columns[0] if columns else []
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise DataError(f"calibration file {path}: row {number}: expected a text under the key text, found {type(text).__name__}")
    return texts


def _text_column(names: list[str], path: Path) -> list[str]:
    if "text" not in names:
        raise DataError(f"calibration file {path}: no key text; its first row has {', '.join(names)}")
    return ["text"]


def _tokens(tokenizer: Any, text: str) -> Tokens:
    ids: Tokens = tokenizer(text, verbose=False)["input_ids"]
    return ids


def _shortfall(calibration: Calibration, rows: list[Tokens], length: int) -> list[str]:
    """A warning where there are fewer samples, or shorter ones, than asked for."""
    short = sum(len(row) < length for row in rows)
    found = []
    if len(rows) < calibration.samples:
        found.append(f"{len(rows)} samples instead of {calibration.samples}")
    if short:
        found.append(f"{short} of {len(rows)} samples are shorter than {length} tokens, the shortest has {min(map(len, rows))}")
    if not found:
        return []
    return [f"calibration on {_name(calibration)}: {'; '.join(found)}: weights that are quantized on too little text can be much worse"]


def _name(calibration: Calibration) -> str:
    return calibration.file or {"task": "the task's training split", "texts": "the texts given"}.get(calibration.set, calibration.set)
