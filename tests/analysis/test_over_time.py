"""Cells over time: from run directories into a history file and out again as series with their changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from record_factory import START, environment, metric, record, write_run

from harness.analysis.columns import described
from harness.analysis.over_time import add_run, read_series
from harness.analysis.over_time_tables import (
    change_table,
    over_time_tables,
    sparkline,
    trend_table,
)
from harness.analysis.run import read_run
from harness.errors import RequestError, UnknownName
from harness.records.history import read_points
from harness.records.schema import Environment, Record

QUIET = [0.85, 0.851, 0.849, 0.85, 0.852, 0.848]
WORSE = [0.80, 0.801, 0.799, 0.80]


def cell(day: int, value: float, where: Environment | None = None, **place: object) -> Record:
    moment = START + timedelta(days=day)
    found = record(metrics=[metric(value=value, stderr=0.01)], started=moment, finished=moment, environment=where or environment(), **place)
    found.cell.id = f"c1-{place.get('method', 'lora')}"
    return found


def history(folder: Path, values: Sequence[float], where: Sequence[Environment | None] = ()) -> Path:
    for day, value in enumerate(values):
        place = where[day] if where else None
        add_run(write_run(folder / f"night-{day}", [cell(day, value, place), cell(day, 0.6, place, method="full")]), folder / "history.sqlite")
    return folder / "history.sqlite"


def test_a_change_of_level_names_what_changed_with_it_and_nothing_else(tmp_path: Path) -> None:
    before, after = (environment(packages={"torch": torch, "peft": "0.21.2"}) for torch in ("2.12.0", "2.13.0"))
    file = history(tmp_path, [*QUIET, *WORSE], [before] * 6 + [after] * 4)
    (series,) = read_series(file, "accuracy", "*/lora/*")
    (change,) = series.changes
    assert (change.run, change.when) == ("night-6", START + timedelta(days=6))
    assert change.facts == {"torch": ("2.12.0", "2.13.0")}
    assert (change.before, change.after) == (pytest.approx(0.85), pytest.approx(0.80))
    assert "torch 2.12.0 → 2.13.0" in change.words


def test_a_package_that_came_or_went_is_a_change(tmp_path: Path) -> None:
    before, after = environment(packages={"peft": "1"}), environment(packages={"peft": "1", "kernels": "2"})
    (series,) = read_series(history(tmp_path, [0.8, 0.8, 0.7, 0.7], [before] * 2 + [after] * 2), "accuracy", "*/lora/*")
    assert series.changes[0].words == "kernels none → 2"


def test_a_run_is_added_once_also_as_a_copy_and_with_what_came_to_it_later(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    first, second = cell(0, 0.5), cell(0, 0.6, method="full")
    assert add_run(write_run(tmp_path / "run", [first]), file).added == 1
    later = add_run(write_run(tmp_path / "copy", [first, second]), file)
    assert (later.added, later.known) == (1, 1)


def test_an_undefined_metric_is_no_number_and_a_defined_one_keeps_its_n(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    add_run(write_run(tmp_path / "run", [cell(0, float("nan"))]), file)
    add_run(write_run(tmp_path / "next", [cell(1, 0.5)]), file)
    assert [(point.value, point.n, point.stderr) for point in read_points(file, "accuracy")] == [(0.5, 277, 0.01)]


def test_another_device_or_protocol_is_another_series(tmp_path: Path) -> None:
    places = [environment(), environment(cpu="Other CPU"), environment(), environment(cpu="Other CPU")]
    found = read_series(history(tmp_path, [0.5, 0.9, 0.5, 0.9], places), "accuracy", "*/lora/*")
    assert [(series.points[0].device, series.values) for series in found] == [("Other CPU, 2 cores", [0.9, 0.9]), ("Test CPU, 2 cores", [0.5, 0.5])]


def test_an_empty_run_an_unknown_metric_and_a_glob_without_cells_say_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no record yet"):
        add_run(write_run(tmp_path / "empty", []), tmp_path / "history.sqlite")
    file = history(tmp_path, [0.5])
    with pytest.raises(UnknownName, match="did you mean accuracy"):
        read_series(file, "acuracy")
    with pytest.raises(RequestError, match="one is 'tiny / none"):
        read_series(file, "accuracy", "huge*")


def test_tables_say_which_way_is_worse(tmp_path: Path) -> None:
    found = read_series(history(tmp_path, [*QUIET, *WORSE]), "accuracy")
    table = trend_table(found, described("accuracy"))
    assert [[entry.text for entry in row][:2] for row in table.rows] == [["tiny / none / full / rte / seed 0", "10"], ["tiny / none / lora / rte / seed 0", "10"]]
    assert table.rows[1][-1].text == "2025-03-07: 85.00 → 80.00"
    changes = change_table(found, described("accuracy"))
    assert changes is not None
    assert [row[5].text for row in changes.rows] == ["−5.00, worse"]
    assert change_table(found[:1], described("accuracy")) is None


def test_a_report_shows_its_own_cells_only_and_those_measured_twice(tmp_path: Path) -> None:
    file = history(tmp_path, QUIET)
    add_run(write_run(tmp_path / "other", [cell(0, 0.1, method="ia3")]), file)
    run = read_run(write_run(tmp_path / "tonight", [cell(9, 0.85)]))
    tables = list(over_time_tables(run, file))
    assert [table.title for table in tables] == ["Accuracy over time", "Peak memory over time", "Train time over time"]
    assert [row[0].text for row in tables[0].rows] == ["tiny / none / lora / rte / seed 0"]


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([2.0], "▄"), ([1.0, 1.0], "▄▄"), ([0.0, 0.5, 1.0], "▁▅█"), ([5.0] * 40 + [6.0], "▁" * 29 + "█")])
def test_a_sparkline_has_a_bar_per_value_between_the_extremes_shown(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars
