"""The noise floors as a table: what a person reads after `harness noise`, and in the report of a run that has them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.noise import Pool, pools
from harness.analysis.table import MISSING, Entry, Table, name_columns
from harness.quantities import QUANTITIES
from harness.records.noise import Noise

EXACTLY = "repeats exactly"


def noise_table(noise: Noise) -> Table:
    """A row per number, pooled over its cells: scores first, then costs as `harness.quantities` lists them. Counts are left out."""
    found = sorted(_shown(pools(noise).values()), key=_order)
    body = tuple((*(Entry(text) for text in _texts(pool)),) for pool in found)
    columns = name_columns(["quantity", "task", "at about", "floor", "relative", "cells", "n"])
    return Table("noise", "Noise floors", columns, body, tuple(_notes(noise, found)))


def _shown(found: Iterable[Pool]) -> list[Pool]:
    """The pools but those of counts, and of particular forms and sizes of a number that stands in the table itself."""
    judged = [pool for pool in found if not pool.quantity.exact and (pool.quantity.quality or pool.quantity.higher_is_better is not None)]
    keys = {pool.quantity.key for pool in judged}
    return [pool for pool in judged if pool.quantity.key == _base(pool) or _base(pool) not in keys]


def _base(pool: Pool) -> str:
    return pool.quantity.key.partition(":")[0]


def _order(pool: Pool) -> tuple[bool, str, int, str]:
    known = list(QUANTITIES)
    at = known.index(pool.quantity.key) if pool.quantity.key in QUANTITIES else len(known)
    return pool.task is None, pool.task or "", at, pool.quantity.key


def _texts(pool: Pool) -> list[str]:
    quantity, relative = pool.quantity, pool.relative
    floor = quantity.show(pool.floor) if pool.floor else EXACTLY
    share = MISSING if relative is None else f"{100 * relative:.0f} %" if relative >= 0.1 else f"{100 * relative:.2g} %"
    return [quantity.label, pool.task or "all", quantity.show(pool.level), floor, share, str(pool.cells), str(pool.n)]


def _notes(noise: Noise, shown: Iterable[Pool]) -> Iterable[str]:
    driver = f", driver {noise.environment.driver}" if noise.environment.driver else ""
    yield (
        f"Every cell was run {noise.repeats} times with nothing changed (A/A), on {noise.device}{driver}. Two single measurements differ by more than the floor "
        "with 5 % probability: less is a tie. docs/noise.md of the harness has the formula."
    )
    yield "Pooled over cells: costs relative to their value, scores by task. Tables and claims use the cells' own floors where they were repeated."
    if any(not pool.floor for pool in shown):
        yield "Repeats exactly: on this machine with these versions; that says nothing of another one, nor of other items or seeds."
    yield from noise.notes
    partly = [cell for cell in noise.cells if any(status != "ok" for status in cell.statuses)]
    if partly:
        names = "; ".join(f"{cell.model} / {cell.quantization} / {cell.method} / {cell.task} / seed {cell.seed}: {', '.join(cell.notes)}" for cell in partly[:3])
        yield f"Not every repeat went through: {names}{f' and {len(partly) - 3} more cells' if len(partly) > 3 else ''}."
