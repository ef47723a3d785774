"""What fits on which card: verdicts from peaks, from memory that ran out, and from trials."""

from __future__ import annotations

from typing import Any

from record_factory import environment, record

from harness.analysis.card_sizes import CARD_SIZES, GIB
from harness.analysis.columns import rows
from harness.analysis.fits import NOT_VRAM, WITHOUT_CONTEXT, fits_table
from harness.analysis.groups import AxisOrder
from harness.analysis.table import Table
from harness.records.measured import Memory, OtherProcesses
from harness.records.parts import PeakSource
from harness.records.schema import Fit, Outcome, OutOfMemory, Record, Trial


def sized(batch_size: int, max_length: int, gib: float | None, total: float = 139.8, source: PeakSource = "nvml_process", **fields: Any) -> Record:
    """A cell of a 7B model at a size. gib: its peak; None: it ran out of memory, of which there was `total` GiB."""
    sweep = {"train.per_device_train_batch_size": batch_size, "train.max_length": max_length}
    config = {"train": {name.removeprefix("train."): value for name, value in sweep.items()}}
    memory = Memory(peak_vram=None if gib is None else int(gib * GIB), peak_vram_source=source)
    made = record(sweep=sweep, config=config, memory=memory, source="random:llama-7b", **fields)
    if gib is not None:
        return made
    known = OutOfMemory(where="device", asked=GIB, total=int(total * GIB))
    return made.model_copy(update={"outcome": Outcome(status="oom", phase="train", out_of_memory=known), "training": None})


def verdicts(*records: Record) -> dict[str, str]:
    """card -> what is said of it, of the only configuration."""
    table = made(*records)
    (line,) = table.rows
    return {column.label: entry.text for column, entry in zip(table.columns, line, strict=True) if column.label.endswith("GB")}


def made(*records: Record) -> Table:
    table = fits_table(rows(records), AxisOrder())
    assert table is not None
    return table


def test_the_largest_size_within_a_card_is_named_and_where_nothing_larger_was_tried_it_says_so() -> None:
    found = verdicts(sized(1, 512, 15.0), sized(4, 512, 21.0), sized(4, 2048, 60.0))
    assert found == {
        "8 GB": "no", "10 GB": "no", "12 GB": "no", "16 GB": "no", "24 GB": "4 x 512", "40 GB": "4 x 512", "48 GB": "4 x 512",
        "80 GB": "≥ 4 x 2048", "141 GB": "≥ 4 x 2048",
    }  # fmt: skip


def test_16_gib_do_not_fit_a_card_of_16_gb() -> None:
    assert verdicts(sized(1, 512, 16.0))["16 GB"] == "no"
    assert verdicts(sized(1, 512, 14.4))["16 GB"] == "≥ 1 x 512"
    assert all(card.usable < card.gigabytes * GIB for card in CARD_SIZES)


def test_what_ran_out_of_memory_fits_no_card_that_is_not_larger() -> None:
    small = verdicts(sized(1, 512, 10.0), sized(8, 512, None, total=23.6))
    assert (small["16 GB"], small["24 GB"], small["40 GB"]) == ("1 x 512", "1 x 512", "≥ 1 x 512")
    alone = verdicts(sized(1, 512, None, total=23.6))
    assert (alone["16 GB"], alone["24 GB"], alone["40 GB"]) == ("no", "no", "?")


CUDA = environment(device="cuda", gpu="NVIDIA A100-SXM4-80GB")


def ran_out(where: OutOfMemory, others: OtherProcesses | None = None, peak: float = 10.0) -> Record:
    """A cell on a GPU of 79 GiB that ran out of memory having held that much, in GiB."""
    memory = Memory(peak_vram=int(peak * GIB), peak_vram_source="nvml_process", others=others)
    return sized(1, 512, None, environment=CUDA).model_copy(update={"memory": memory, "outcome": Outcome(status="oom", phase="train", out_of_memory=where)})


def test_what_others_held_on_the_card_is_no_room_that_was_missing() -> None:
    """With 60 GiB of another process on it, a card of 79 GiB shows no more than that 19 GiB are too few."""
    full = OutOfMemory(where="device", total=79 * GIB, reserved=17 * GIB, free=1 * GIB)
    found = verdicts(ran_out(full, OtherProcesses(peak_bytes=60 * GIB, processes=1)))
    assert (found["16 GB"], found["24 GB"], found["80 GB"]) == ("no", "?", "?")
    untold = verdicts(ran_out(full, OtherProcesses(peak_bytes=None, processes=1)))
    assert (untold["16 GB"], untold["24 GB"]) == ("no", "?"), "what torch had and could have had"
    assert verdicts(ran_out(full))["48 GB"] == "no", "alone on it"


def test_a_limit_on_a_card_that_others_use_too_still_tells() -> None:
    limited = OutOfMemory(where="device", total=16 * GIB, reserved=15 * GIB, free=1 * GIB)
    assert verdicts(ran_out(limited, OtherProcesses(peak_bytes=30 * GIB, processes=1)))["16 GB"] == "no"


def test_the_hosts_memory_that_ran_out_says_nothing_of_cards() -> None:
    found = verdicts(ran_out(OutOfMemory(where="host", total=128 * GIB, free=0)))
    assert (found["8 GB"], found["12 GB"], found["80 GB"]) == ("no", "?", "?"), "no more than its own peak of 10 GiB"


def test_of_equal_tokens_the_longer_sequence_is_the_larger_size() -> None:
    assert verdicts(sized(4, 512, 10.0), sized(1, 2048, 11.0))["24 GB"] == "≥ 1 x 2048"


def test_of_repetitions_the_one_that_needs_most_counts() -> None:
    assert verdicts(sized(1, 512, 14.0, seed=0), sized(1, 512, 15.0, seed=1))["16 GB"] == "no"


def test_trials_are_sizes_too() -> None:
    trials = [Trial(batch_size=batch, max_length=64, status=status, peak_bytes=gib * GIB) for batch, status, gib in ((8, "ok", 7), (16, "ok", 13), (17, "oom", 21))]  # type: ignore[arg-type]
    cell = record(config={"train": {"per_device_train_batch_size": 2, "max_length": 64}}, memory=Memory(peak_vram=6 * GIB, peak_vram_source="nvml_process"), fit=Fit(trials=trials))
    found = verdicts(cell)
    assert (found["8 GB"], found["16 GB"], found["24 GB"]) == ("8 x 64", "16 x 64", "≥ 16 x 64")


def test_a_trial_that_ran_out_of_a_cards_memory_does_not_fit_that_card() -> None:
    trials = [Trial(batch_size=1, max_length=64, status="ok", peak_bytes=20 * GIB), Trial(batch_size=2, max_length=64, status="oom", peak_bytes=21 * GIB, total_bytes=int(21.99 * GIB))]
    cell = record(config={"train": {"per_device_train_batch_size": 1, "max_length": 64}}, memory=Memory(peak_vram=20 * GIB, peak_vram_source="nvml_process"), fit=Fit(trials=trials))
    found = verdicts(cell)
    assert (found["16 GB"], found["24 GB"], found["40 GB"]) == ("no", "1 x 64", "≥ 1 x 64")


def test_configurations_have_rows_and_sizes_have_none() -> None:
    table = made(sized(1, 512, 20.0), sized(2, 512, 22.0), sized(1, 512, 9.0, quantization="nf4"))
    assert [[entry.text for entry in line][:2] for line in table.rows] == [["none", "20.00 GiB (1 x 512)"], ["nf4", "9.00 GiB (1 x 512)"]]


def test_it_is_said_what_the_peaks_are_peaks_of() -> None:
    assert NOT_VRAM in made(sized(1, 512, 1.0, source="host_rss")).notes
    assert WITHOUT_CONTEXT in made(sized(1, 512, 1.0, source="torch_reserved")).notes
    assert not {NOT_VRAM, WITHOUT_CONTEXT} & set(made(sized(1, 512, 1.0)).notes)


def test_there_is_no_such_table_where_nobody_asked_for_sizes() -> None:
    assert fits_table(rows([record(), record(seed=1)]), AxisOrder()) is None
    assert fits_table(rows([sized(1, 512, 1.0, status="failed")]), AxisOrder()) is None
