"""Numbers of time that were taken while the device slowed its clocks: marked wherever they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.analysis.columns import Row
from harness.analysis.table import Entry
from harness.records.parts import PhaseName

THROTTLED_MARK = "§"
THROTTLED_NOTE = "the GPU slowed its clocks in the phase that this comes from, for heat or a power limit: the records' notes say for how long"
GENERATING: Mapping[str, PhaseName] = {
    "before": "generate_base", "after": "generate", "merged": "generate_merged", "merged-requantized": "generate_requantized"
}  # fmt: skip
UNTIMED = ("final_loss", "steps", "best_step")  # of training: neither times nor rates


def throttled_marks(rows: Sequence[Row], key: str) -> tuple[str, ...]:
    """The mark of a number that any of these cells took in a throttled phase; none for one that is no time and no rate."""
    return (THROTTLED_MARK,) if any(_phases(row, key) & set(row.record.timing.throttled) for row in rows if row.ok) else ()


def throttled_footnote(rows: Iterable[Sequence[Entry]]) -> dict[str, str]:
    """The footnote of a table in which a number is marked; none where none is."""
    return {THROTTLED_MARK: THROTTLED_NOTE} if any(THROTTLED_MARK in entry.marks for row in rows for entry in row) else {}


def _phases(row: Row, key: str) -> set[str]:
    """The phases that a number comes from."""
    section, _, rest = key.partition(".")
    if section == "timing":
        return set(row.record.timing.throttled) if rest == "total" else {rest}
    if section == "training":
        return set() if rest in UNTIMED else {"train"}
    if key == "quantization.seconds":
        return {"quantize"} if row.record.quantized_here else set()
    if section not in ("latency", "batch_latency"):
        return set()
    form = GENERATING.get(key.rpartition(":")[2])
    # a cell that tunes nothing has one form, whatever it is called, timed in the phase `generate`
    return {"generate"} if row.record.training is None else {form} if form else set(GENERATING.values())
