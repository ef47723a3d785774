"""Will it fit? Of every configuration the largest batch and length that a card of a size has room for, by measured peaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.card_sizes import CARD_SIZES, CardSize
from harness.analysis.columns import Row, describe
from harness.analysis.groups import AxisOrder, group_by
from harness.analysis.layouts import shared_note, shown_axes
from harness.analysis.phase_addresses import PEAK_SOURCES
from harness.analysis.pivot import axis_columns, name_entries
from harness.analysis.table import MISSING, Column, Entry, Table
from harness.records.parts import PeakSource

SIZE_AXES = ("train.per_device_train_batch_size", "train.max_length")
UNKNOWN = "?"
NOT_VRAM = "These are peaks of the host's memory, because the cells ran on a CPU: a GPU needs other amounts, and no card is promised here."
WITHOUT_CONTEXT = "Peaks are those of torch's allocator, without the CUDA context: some hundred MB more are needed."
HOW_TO_READ = (
    "Batch size x tokens of the largest measured size whose peak over all phases is within what a card of that size shows to a program "
    "(the least that is known of cards sold so); ≥: nothing larger is known not to fit; no: the smallest measured size does not; ?: not known, because it was only seen to need more than a smaller card. "
    "torch's allocator takes more where there is more: on a card that is just too small, a size may still fit."
)


@dataclass(frozen=True)
class Point:
    """One size of which something is known. peak: bytes that it took; None where it did not fit, and then it needs more than `beyond`."""

    batch_size: int
    max_length: int
    peak: int | None
    beyond: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of a batch, by which sizes are ordered; of equals the longer sequence is the larger."""
        return self.batch_size * self.max_length

    def fits(self, card: CardSize) -> bool | None:
        """Whether such a card has room for it; None where that is not known."""
        if self.peak is not None:
            return self.peak <= card.usable
        return False if self.beyond >= card.usable else None

    def __str__(self) -> str:
        return f"{self.batch_size} x {self.max_length}"


def fits_table(rows: Sequence[Row], order: AxisOrder) -> Table | None:
    """Card sizes by configuration; None unless batch size or length are swept, or `measure.fit` has searched what fits."""
    trained = [row for row in rows if _points(row)]
    asked = any(row.record.fit is not None or any(axis in row.axes for axis in SIZE_AXES) for row in trained)
    if not asked:
        return None
    axes = shown_axes(trained, without=("seed", *SIZE_AXES))
    body = []
    for place, found in group_by(order.sort(trained, axes), axes).items():
        points = _distinct([point for row in found for point in _points(row)])
        body.append((*name_entries(axes, place), _least(points), *(_largest(points, card) for card in CARD_SIZES)))
    columns = (*axis_columns(axes), Column("needs at least"), *(Column(f"{card.gigabytes} GB") for card in CARD_SIZES))
    notes = [*shared_note(trained, axes, without=("seed", *SIZE_AXES)), HOW_TO_READ, *_sources(trained)]
    return Table("fits", "What fits on which card", columns, tuple(body), tuple(notes))


def _points(row: Row) -> list[Point]:
    """The cell's own size, where it was trained at it or training ran out of memory, and those of its trials."""
    record, outcome = row.record, row.record.outcome
    batch_size, max_length = row.config("train", "per_device_train_batch_size"), row.config("train", "max_length")
    points = []
    if row.ok and record.training is not None and record.memory.peak_vram is not None and batch_size and max_length:
        points.append(Point(batch_size, max_length, record.memory.peak_vram))
    elif outcome.status == "oom" and batch_size and max_length:
        points.append(Point(batch_size, max_length, None, max(record.room or 0, record.memory.peak_vram or 0)))
    for trial in record.fit.trials if record.fit is not None else ():
        if trial.status == "oom":
            points.append(Point(trial.batch_size, trial.max_length, None, max(trial.total_bytes or 0, trial.peak_bytes or 0)))
        elif trial.status in ("ok", "diverged") and trial.peak_bytes is not None:
            points.append(Point(trial.batch_size, trial.max_length, trial.peak_bytes))
    return points


def _distinct(points: Sequence[Point]) -> list[Point]:
    """One point per size: of repetitions (seeds, a cell and its trial) the one that needs most, from small to large."""
    by_size: dict[tuple[int, int], list[Point]] = {}
    for point in points:
        by_size.setdefault((point.tokens, point.max_length), []).append(point)
    return [max(same, key=lambda point: (point.peak is None, point.beyond, point.peak or 0)) for _, same in sorted(by_size.items())]


def _least(points: Sequence[Point]) -> Entry:
    """The smallest measured peak and its size."""
    measured = [point for point in points if point.peak is not None]
    if not measured:
        return Entry(MISSING)
    least = min(measured, key=lambda point: point.peak or 0)
    return Entry(f"{describe('memory.peak_vram').show(least.peak)} ({least})")


def _largest(points: Sequence[Point], card: CardSize) -> Entry:
    """The largest size that fits that card; points from small to large."""
    verdicts = [point.fits(card) for point in points]
    if True not in verdicts:
        return Entry("no" if verdicts[0] is False else UNKNOWN)
    at = max(number for number, fits in enumerate(verdicts) if fits)
    more_may_fit = False not in verdicts[at + 1 :]
    return Entry(f"{'≥ ' if more_may_fit else ''}{points[at]}")


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    """What the peaks are peaks of, and what that leaves out."""
    found: set[PeakSource] = {row.record.memory.peak_vram_source for row in rows if row.record.memory.peak_vram_source is not None}
    if found:
        yield f"Peaks: {'; '.join(sorted(PEAK_SOURCES[source] for source in found))}."
    if "host_rss" in found:
        yield NOT_VRAM
    if "torch_reserved" in found:
        yield WITHOUT_CONTEXT
