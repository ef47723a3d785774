"""PEFT's method comparison: our files have the keys of a real one, and real ones become references.

peft_result.json is deft--llama-3.2-3B-rank32.json of huggingface/peft at 0d4d8485 with fewer of its metrics and configuration fields.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas
import pytest
from record_factory import START, metric, record, write_run

from harness.analysis.reference_files import read_reference
from harness.analysis.run import read_run
from harness.errors import DataError, RequestError
from harness.interop.base import EXPORTS, Asked
from harness.interop.reference import import_results
from harness.records.measured import Memory, PhaseMemory
from harness.records.schema import DataUse, Record

REAL = Path(__file__).with_name("peft_result.json")
TRAIN = {"max_length": 768, "per_device_train_batch_size": 4, "optim": "adamw_torch", "learning_rate": 1e-4, "lr_scheduler_type": "cosine"}


def tuned(**fields: Any) -> Record:
    memory = Memory(phases={"train": PhaseMemory(torch_reserved=2000), "evaluate": PhaseMemory(torch_reserved=3000)})
    data = [DataUse(role=role, task="glue/rte", split="train", rows=240, sha256="0") for role in ("training", "evaluation")]
    return record(metrics=[metric(value=0.25), metric(value=0.1, when="before")], config={"train": TRAIN}, memory=memory, **fields).model_copy(update={"data": data})


def on_gpu(tmp_path: Path, *records: Record) -> Path:
    """A run directory with those records, and the telemetry that training on a GPU leaves: torch reserved 1000 and 3000 bytes in its two steps."""
    run = write_run(tmp_path / "run", records)
    for each in records:
        file = run / "cells" / each.cell.id / "telemetry.parquet"
        file.parent.mkdir(parents=True)
        samples = {"step": [None, 0, 1, 2, None], "torch_reserved": [500_000, 900_000, 1000, 3000, 700_000]}
        pandas.DataFrame(samples, dtype="Int64").to_parquet(file)
    return run


def export(tmp_path: Path, *records: Record) -> tuple[list[Any], list[str]]:
    done = EXPORTS.get("peft-method-comparison")().write(read_run(on_gpu(tmp_path, *records)), tmp_path / "out")
    return [json.loads(path.read_text(encoding="utf-8")) for path in done.paths], done.left_out


def keys(value: Any) -> Any:
    """The keys of nested objects, without those of configurations that differ by method."""
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_our_files_have_the_keys_that_pefts_own_reader_takes(tmp_path: Path) -> None:
    (ours,), _ = export(tmp_path, tuned())
    real = json.loads(REAL.read_text(encoding="utf-8"))
    for part in ("run_info", "train_info", "meta_info"):
        assert keys(ours[part]).keys() == keys(real[part]).keys()
    assert ours["run_info"]["train_config"].keys() == real["run_info"]["train_config"].keys()
    assert ours["meta_info"]["package_info"].keys() == real["meta_info"]["package_info"].keys()
    assert ours["train_info"]["metrics"][-1].keys() == real["train_info"]["metrics"][-1].keys() - {"forgetting"}


def test_numbers_are_those_of_the_record_and_unmeasured_ones_null(tmp_path: Path) -> None:
    (ours,), _ = export(tmp_path, tuned())
    train = ours["train_info"]
    assert (train["metrics"][-1]["test accuracy"], train["metrics"][-1]["step"], train["accelerator_memory_max"]) == (0.25, 30, 3000)
    assert (train["accelerator_memory_reserved_avg"], train["accelerator_memory_reserved_99th"]) == (2000, 2980)
    assert (ours["run_info"]["train_config"]["batch_size"], ours["run_info"]["train_config"]["eval_steps"]) == (4, None)
    assert ours["run_info"]["peft_config"]["peft_type"] == "LORA"


def test_an_adapter_that_was_saved_tells_its_configuration(tmp_path: Path) -> None:
    one = tuned()
    run = on_gpu(tmp_path, one)
    folder = run / "cells" / one.cell.id / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}', encoding="utf-8")
    (path,) = EXPORTS.get("peft-method-comparison")().write(read_run(run), tmp_path / "out").paths
    assert json.loads(path.read_text(encoding="utf-8"))["run_info"]["peft_config"] == {"peft_type": "LORA", "r": 8}


def test_pefts_own_table_takes_our_files_beside_its_own(tmp_path: Path) -> None:
    """The conversions of method_comparison/processing.py, `load_df`: whole numbers without gaps, and dates in one form."""
    ours, _ = export(tmp_path, tuned(), tuned(method="full", started=START + timedelta(microseconds=123456)))
    rows = [json.loads(REAL.read_text(encoding="utf-8")), *ours]
    whole = ["accelerator_memory_reserved_avg", "accelerator_memory_max", "accelerator_memory_reserved_99th", "file_size", "num_trainable_params"]
    found = pandas.DataFrame([{name: row["train_info"][name] for name in whole} for row in rows]).astype(int)
    assert sorted(found["file_size"][1:]) == [40_000, 4_000_000]  # the adapter's, and all weights of full tuning
    assert pandas.DataFrame([row["train_info"]["metrics"][-1] for row in rows])[["train samples", "train total tokens"]].astype(int).iloc[1, 0] == 240
    assert len(pandas.to_datetime(pandas.Series([row["run_info"]["created_at"] for row in rows], dtype="string"))) == 3


def test_a_cell_without_accelerator_memory_is_left_out_and_damaged_telemetry_is_named(tmp_path: Path) -> None:
    one = tuned()
    run = write_run(tmp_path / "run", [one])
    file = run / "cells" / one.cell.id / "telemetry.parquet"
    file.parent.mkdir(parents=True)
    pandas.DataFrame({"at": [0.0], "host_rss": [1]}).to_parquet(file)
    done = EXPORTS.get("peft-method-comparison")().write(read_run(run), tmp_path / "out")
    missing = "accelerator_memory_reserved_avg, accelerator_memory_reserved_99th"
    assert (done.paths, done.left_out) == ([], [f"tiny / none / lora / rte / seed 0 (on cpu) has no {missing}: PEFT's table loads no file without"])
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"telemetry\.parquet is damaged"):
        EXPORTS.get("peft-method-comparison")().write(read_run(run), tmp_path / "out")


def test_full_tuning_has_no_peft_config_and_untuned_or_dead_cells_are_left_out_by_name(tmp_path: Path) -> None:
    found, left_out = export(tmp_path, tuned(method="full"), tuned(method="none", training=None), tuned(method="ia3", status="oom"))
    assert [each["run_info"]["peft_config"] for each in found] == [None]
    assert left_out == ["tiny / none / none / rte / seed 0 has no training", "tiny / none / ia3 / rte / seed 0 ended oom"]


def test_a_real_result_becomes_a_reference_row(tmp_path: Path) -> None:
    path, left_out = import_results([REAL], "nightly", tmp_path, Asked())
    (row,) = read_reference(path).tables[0].rows
    assert (row.model, row.scheme, row.method, row.task) == ("llama-3.2-3b", "none", "peft", "gsm8k")
    assert row.values["accuracy"] == 0.48218347232752085
    assert row.values["torch_reserved_max_bytes"] == 23620222976
    assert (row.values["forgetting"], left_out) == (0.0630418062210083, [])


def test_our_own_export_can_be_imported_again(tmp_path: Path) -> None:
    export(tmp_path, tuned())
    path, _ = import_results([tmp_path / "out"], "mine", tmp_path, Asked())
    (row,) = read_reference(path).tables[0].rows
    assert (row.task, row.method, row.values["accuracy"]) == ("glue/rte", "lora", 0.25)


def test_older_files_say_cuda_and_are_read(tmp_path: Path) -> None:
    old = json.loads(REAL.read_text(encoding="utf-8"))
    old["train_info"]["cuda_memory_max"] = old["train_info"].pop("accelerator_memory_max")
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    path, _ = import_results([tmp_path / "old.json"], "old", tmp_path, Asked())
    assert read_reference(path).tables[0].rows[0].values["torch_reserved_max_bytes"] == 23620222976


def test_a_failed_result_is_left_out_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    values = json.loads(REAL.read_text(encoding="utf-8"))
    failed = values | {"train_info": values["train_info"] | {"status": "failed"}}
    (tmp_path / "failed.json").write_text(json.dumps(failed), encoding="utf-8")
    with pytest.raises(RequestError, match=r"failed\.json: status failed"):
        import_results([tmp_path / "failed.json"], "none", tmp_path, Asked())
    elsewhere = values | {"meta_info": values["meta_info"] | {"dataset_info": {}}}
    (tmp_path / "elsewhere.json").write_text(json.dumps(elsewhere), encoding="utf-8")
    with pytest.raises(RequestError, match="do not say what it was evaluated on"):
        import_results([tmp_path / "elsewhere.json"], "none", tmp_path, Asked())
    damaged = values | {"train_info": {"status": "success", "metrics": []}}
    (tmp_path / "damaged.json").write_text(json.dumps(damaged), encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged\.json"):
        import_results([tmp_path / "damaged.json"], "none", tmp_path, Asked())
