"""MLflow and Weights & Biases: what goes there, and with the packages installed that it can be read back by them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from record_factory import MIB, metric, record, write_run

from harness.analysis.columns import row
from harness.analysis.run import read_run
from harness.errors import RequestError, UnknownName
from harness.interop.base import EXPORTS
from harness.interop.mlflow_store import numbers_of, settings_of

CELL = record(metrics=[metric(value=0.75), metric(value=0.5, when="before"), metric("accuracy:anatomy", 0.6)], config={"method": {"method": "lora", "r": 8, "bias": None}})


def test_numbers_have_names_that_mlflow_takes() -> None:
    found = numbers_of(row(CELL))
    assert (found["accuracy"], found["accuracy/before"], found["accuracy/anatomy"]) == (0.75, 0.5, 0.6)
    assert not [name for name in found if ":" in name or "@" in name]


def test_settings_are_the_place_and_the_flat_configuration_without_what_is_not_set() -> None:
    found = settings_of(row(CELL))
    assert (found["method"], found["config.method.r"], found["seed"]) == ("lora", "8", "0")
    assert "config.method.bias" not in found


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    export = EXPORTS.get({"mlflow": "mlflow", "wandb": "wandb-offline"}[name])()
    monkeypatch.setattr("harness.interop.base.find_spec", lambda package: None)
    with pytest.raises(RequestError, match=rf"pip install 'harness\[{name}\]'"):
        export.require()


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean mlflow"):
        EXPORTS.get("mflow")


def test_mlflow_reads_back_what_was_written_and_nothing_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install 'harness[mlflow]'")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    run = read_run(write_run(tmp_path / "run", [CELL, record(method="full", status="oom")]))
    export = EXPORTS.get("mlflow")()
    export.require()
    assert export.write(run, tmp_path / "mlflow.db").left_out == []
    assert len(export.write(run, tmp_path / "mlflow.db").left_out) == 2
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tests")
    found = {each.data.params["method"]: each for each in client.search_runs([experiment.experiment_id])}
    assert found["lora"].data.metrics["accuracy/before"] == 0.5
    assert found["lora"].data.params["config.method.r"] == "8"
    assert found["lora"].info.start_time == int(CELL.started.timestamp() * 1000)
    assert {name: each.info.status for name, each in found.items()} == {"lora": "FINISHED", "full": "FAILED"}


def test_wandb_reads_back_an_offline_run_per_cell_and_nothing_of_this_machine_is_in_it(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs wandb: pip install 'harness[wandb]'")
    done = EXPORTS.get("wandb-offline")().write(read_run(write_run(tmp_path / "run", [CELL, record(method="full", status="oom")])), tmp_path / "out")
    assert done.left_out == ["tiny / none / full / rte / seed 0 ended oom"]
    (folder,) = done.paths
    (file,) = folder.glob("*.wandb")
    parts = {each.WhichOneof("record_type"): each for each in wandb_records(file)}
    run = parts["run"].run
    assert (run.project, run.run_group, run.display_name, run.host) == ("tests", "run", "tiny / none / lora / rte / seed 0", "box")
    config = {each.key: json.loads(each.value_json) for each in run.config.update}
    assert (config["method"]["r"], config["started"], config["environment"]["torch"]) == (8, CELL.started.isoformat(), "2.13.0")
    numbers = {each.key: json.loads(each.value_json) for each in next(each for each in wandb_records(file) if each.WhichOneof("record_type") == "summary").summary.update}
    assert (numbers["accuracy"], numbers["accuracy:before"], numbers["memory.peak_vram"]) == (0.75, 0.5, 1000 * MIB)
    assert not {"stats", "environment"} & parts.keys()


def wandb_records(file: Path) -> Iterator[Any]:
    """The messages of a .wandb file, each in one piece here: `:W&B`, three bytes, then LevelDB's log format (checksum, length, kind) of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record as Message

    data, at = file.read_bytes(), 7
    assert data[:4] == b":W&B"
    while at < len(data):
        checksum, length, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7 : at + 7 + length]
        assert (kind, zlib.crc32(data[at + 6 : at + 7 + length])) == (1, checksum)
        message = Message()
        message.ParseFromString(body)
        yield message
        at += 7 + length
