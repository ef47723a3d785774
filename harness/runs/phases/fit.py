"""Fit: a trial's few steps of training, on rows that are all exactly as long as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.runs.phases import attach, train
from harness.runs.trial_cell import TrialCell
from harness.tasks.base import TrainingSet

if TYPE_CHECKING:
    from harness.runs.cell import Life
    from harness.runs.phases.forms import Phase


def run(life: Life, phase: Phase) -> None:
    """Attaches the method and trains; raises whatever ends the trial early."""
    assert isinstance(life.cell, TrialCell), "a trial"
    settings = life.cell.config.train
    attach.size(life)
    train.prepare(life)
    assert life.training_set is not None, "prepare fills it"
    assert life.facts is not None, "load comes first"
    count = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * settings.max_steps
    life.training_set = of_length(life.training_set, life.cell.row_length, count, two_texts=life.facts.kind == "encoder-decoder")
    with phase("attach"):
        attach.run(life)
    with phase("train"):
        train.run(life, phase)


def of_length(training_set: TrainingSet, length: int, count: int, two_texts: bool = False) -> TrainingSet:
    """`count` times the same row, the largest of the set, its tokens repeated to exactly `length`.

    One row, because some models want as many end-of-text tokens in every row of a batch. two_texts: whether labels are a text of
    their own, as an encoder-decoder's targets are: these stay as long as they are.
    """
    row = _stretched(max(training_set.rows, key=_size), length, two_texts)
    return TrainingSet([row] * count, training_set.collator)


def _size(row: dict[str, Any]) -> tuple[int, int, int]:
    """Answers, then tokens of the target, then tokens."""
    if "choices" in row:
        return (len(row["choices"]), 0, sum(len(answer["input_ids"]) for answer in row["choices"]))
    return (1, len(row["labels"]) if _is_sequence(row.get("labels")) else 0, len(row["input_ids"]))


def _stretched(row: dict[str, Any], length: int, two_texts: bool) -> dict[str, Any]:
    """The row at that length. A language model's loss is taken everywhere: it may be that none of the tokens kept had one."""
    if "choices" in row:
        return row | {"choices": [_stretched(answer, length, two_texts) for answer in row["choices"]]}
    stretched = row | {name: _repeated(row[name], length) for name in ("input_ids", "token_type_ids") if name in row}
    if _is_sequence(row.get("labels")) and not two_texts:
        stretched["labels"] = stretched["input_ids"]
    return stretched


def _is_sequence(value: Any) -> bool:
    return hasattr(value, "__len__")


def _repeated(values: Any, length: int) -> list[int]:
    """The values over and over, to that length; the last one stays the last, because a text may have to end so."""
    plain = values.tolist() if hasattr(values, "tolist") else list(values)
    return [*(plain * (length // len(plain) + 1))[: length - 1], plain[-1]]
