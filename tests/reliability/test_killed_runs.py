"""A run that is killed, whoever is killed and whenever, and repeated: no finished cell is lost, run twice or changed.

HARNESS_KILLS: how many kills in all, shared out over the kinds (default 8, one each). HARNESS_KILL_SEED: the first seed;
with HARNESS_KILLS=1 that seed alone is repeated. Every kill is a line of JSON in kills.jsonl of pytest's temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from kills import VICTIMS, Kill, Pace
from twelve_cells import CELLS, PATIENCE, Place

KILLS = int(os.environ.get("HARNESS_KILLS", "8"))
FIRST_SEED = int(os.environ.get("HARNESS_KILL_SEED", "0"))
ORPHAN_SECONDS = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Pace]]:
    """A run to its end that nobody disturbed, and how long its parts took."""
    with Place.made(tmp_path_factory.mktemp("undisturbed") / "place") as place:
        begun = time.time()
        assert place.start().wait(PATIENCE) == 0, place.output.read_text()
        ended, written = time.time(), sorted(path.stat().st_mtime for path in (place.run / "records").iterdir())
        assert len(written) == CELLS
        assert not [name for name in place.files() if name.startswith("tmp")]
        yield place, Pace(written[0] - begun, (written[-1] - written[0]) / (CELLS - 1), ended - written[-1])


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_run_goes_on_where_it_stopped_and_ends_as_if_nothing_had_been(
    victim: str, undisturbed: tuple[Place, Pace], tmp_path: Path, ledger: Callable[..., None]
) -> None:
    seeds = [seed for seed in range(FIRST_SEED, FIRST_SEED + KILLS) if Kill.drawn(seed).victim == victim]
    begun, faults = time.monotonic(), {}
    for seed in seeds:
        with Place.made(tmp_path / str(seed)) as place:
            told, found = killed_and_repeated(Kill.drawn(seed), place, undisturbed)
        with (tmp_path.parent / "kills.jsonl").open("a") as log:
            log.write(json.dumps(told | {"wrong": found}) + "\n")
        if found:
            faults[seed] = found
        else:
            shutil.rmtree(tmp_path / str(seed))
    assert not faults, json.dumps(faults, indent=1)
    if seeds:
        ledger(
            area="kills", check=f"{victim}, at a drawn moment of a 12-cell run, which is then repeated", tried=len(seeds), survived=len(seeds) - len(faults),
            seconds=time.monotonic() - begun, note=f"seeds {seeds[0]} to {seeds[-1]}",
        )  # fmt: skip


def killed_and_repeated(kill: Kill, place: Place, undisturbed: tuple[Place, Pace]) -> tuple[dict[str, Any], list[str]]:
    """Kills a run in that place and repeats it; returns what happened, and all that is not as it should be."""
    reference, pace = undisturbed
    shutil.copytree(reference.cache / "anatomy", place.cache / "anatomy")  # as on a machine where the suite was planned before
    process = place.start()
    at = kill.strike(process, place, pace)
    code, ended = process.wait(PATIENCE), time.monotonic()
    wrong = [f"left behind by the killed run: {orphan}" for orphan in place.wait_until_alone(ORPHAN_SECONDS)]
    alone_after = time.monotonic() - ended
    before = place.finished()
    again = place.start().wait(PATIENCE)
    after = place.finished()
    told = {**asdict(kill), "at": at, "code": code, "alone_after": alone_after, "finished_before": len(before), "again": again, "finished": len(after)}
    if again != 0 or len(after) != CELLS:
        wrong.append(f"repeated, the run ended with {again} and {len(after)} finished cells")
    wrong += [f"cell {cell_id} was finished, and was touched" for cell_id in before if after.get(cell_id) != before[cell_id]]
    wrong += [f"left behind: {orphan}" for orphan in place.wait_until_alone(ORPHAN_SECONDS)]
    wrong += [f"{path} is locked" for path in place.held_locks()]
    return told, [*wrong, *_differences(kill, place, reference)]


def _differences(kill: Kill, place: Place, reference: Place) -> Iterator[str]:
    """Where the finished run is not what an undisturbed one is: in a number, a table, or the name of a file."""
    results, expected = place.results(), reference.results()
    yield from (f"{cell_id}: {results.get(cell_id)} is not {expected[cell_id]}" for cell_id in expected if results.get(cell_id) != expected[cell_id])
    tables, as_ever = place.tables(), reference.tables()
    yield from (f"{name}: {tables.get(name)} is not {as_ever[name]}" for name in as_ever if tables.get(name) != as_ever[name])
    added, lacking = place.files() - reference.files(), reference.files() - place.files()
    yield from (f"{name} is left" for name in sorted(added))
    if kill.victim != "SIGKILL to its sampler":
        yield from (f"{name} is not there" for name in sorted(lacking))
    else:
        yield from (f"{name} is not there" for name in sorted(lacking) if not name.endswith("telemetry.parquet"))
