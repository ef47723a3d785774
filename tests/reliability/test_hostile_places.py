"""Code where data was expected, and links where files were: nothing is run, and nothing outside of the run directory is read, written or removed."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_factory import run as finished_run
from gate_factory import six

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from drill_cells import write_model

from harness.analysis.run import read_run
from harness.errors import HarnessError, NotARun, SuiteError, Unsupported
from harness.models.base import ModelConfig
from harness.models.load import load_model, load_tokenizer
from harness.needs import Machine
from harness.quantization.base import SCHEMES
from harness.records.store import RecordStore
from harness.report.write import write_report
from harness.runs.directory import Contents, RunFacts, opened
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.tasks.base import Head

SUITE = "name: s\nmodels: [{{source: 'path:{model}', {more}}}]\nmethods: [none]\ntasks: [wikitext2]\n"


TRIED, SURVIVED = Counter[str](), Counter[str]()


class Creates:
    """Pickled, it is a file that is created by whoever unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """The file that hostile code would create."""
    return tmp_path / "owned"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def safe(owned: Path) -> None:
    """Asserts that the hostile code of this test was not run, and counts it."""
    TRIED["code"] += 1
    assert not owned.exists()
    SURVIVED["code"] += 1


def malicious(path: Path, owned: Path) -> Path:
    """A file that torch.load without weights_only would run; that it does is shown."""
    import torch

    torch.save({"weight": Creates(owned)}, path)
    torch.load(path, weights_only=False)
    assert owned.exists(), "the pickle does what it is for"
    owned.unlink()
    return path


def load(model: Path, cache: Path, **fields: Any) -> Any:
    return load_model(ModelConfig(source=f"path:{model}", **fields), Head("causal-lm"), SCHEMES.get("none")(scheme="none"), "cpu", cache)


def test_a_pickle_where_safetensors_were_expected_is_refused_by_the_plan(model: Path, owned: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    malicious(model / "pytorch_model.bin", owned)
    file = tmp_path / "s.yaml"
    file.write_text(SUITE.format(model=model, more=""))
    with pytest.raises(SuiteError, match=r"pickled weights only \(pytorch_model\.bin\): loading them can run code"):
        make_plan(load_suite(file), Machine())
    safe(owned)


@pytest.mark.parametrize("allow_pickle", [False, True])
@pytest.mark.parametrize("beside", ["nothing", "another.safetensors"])
def test_a_malicious_pickle_is_never_run_even_where_pickles_are_allowed(allow_pickle: bool, beside: str, model: Path, owned: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "another.safetensors")
    if beside == "nothing":
        (model / "another.safetensors").unlink()
    malicious(model / "pytorch_model.bin", owned)
    said = "a pickle among its weights holds more than tensors" if allow_pickle else "pickled weights only" if beside == "nothing" else r"no file named model\.safetensors"
    with pytest.raises(HarnessError, match=said):
        load(model, tmp_path / "cache", allow_pickle=allow_pickle)
    safe(owned)


def test_pickles_beside_sound_weights_are_not_opened(model: Path, owned: Path, tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "tokenizer.pkl", "vocab.pkl", "adapter_model.bin"):
        malicious(model / name, owned)
    config = ModelConfig(source=f"path:{model}")
    load_tokenizer(config, tmp_path / "cache")
    load(model, tmp_path / "cache")
    load(model, tmp_path / "cache", allow_pickle=True)
    safe(owned)


def test_a_malicious_adapter_is_not_run_when_a_method_is_loaded_again(model: Path, owned: Path, tmp_path: Path) -> None:
    import peft

    base = load(model, tmp_path / "cache")
    peft.get_peft_model(base, peft.LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    malicious(tmp_path / "adapter" / "adapter_model.bin", owned)
    with pytest.raises(pickle.UnpicklingError, match=r"weights_only|Weights only"):
        peft.PeftModel.from_pretrained(load(model, tmp_path / "cache"), str(tmp_path / "adapter"))
    safe(owned)


@pytest.mark.parametrize("name", ["train.pkl", "test.pt", "test.npy", "test.arrow"])
def test_data_is_never_read_from_a_pickle(name: str, owned: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / name).write_bytes(pickle.dumps(Creates(owned)))
    file = tmp_path / "s.yaml"
    file.write_text(f"name: s\nmodels: [hub:a/b]\nmethods: [none]\ntasks: [{{task: wikitext2, data: '{data}'}}]\n")
    with pytest.raises(SuiteError, match="no file for the split test"):
        make_plan(load_suite(file), Machine())
    safe(owned)


def with_code(model: Path, owned: Path, model_type: str) -> Path:
    """The folder with Python of its own that its config and its tokenizer name, and that would create the file when imported."""
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": model_type, "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model", "AutoTokenizer": ["code.Tokenizer", None]}}
    (model / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}))
    (model / "code.py").write_text(f"open({str(owned)!r}, 'w')\nclass Config: pass\nclass Model: pass\nclass Tokenizer: pass\n")
    return model


def test_code_of_a_models_repository_is_not_run_while_nobody_trusts_it(model: Path, owned: Path, tmp_path: Path) -> None:
    config = ModelConfig(source=f"path:{with_code(model, owned, 'strangers-own')}")
    with pytest.raises(Unsupported, match="carries Python code of its own; set trust_remote_code: true on the model if you trust its author"):
        load_tokenizer(config, tmp_path / "cache")
    with pytest.raises(Unsupported, match="carries Python code of its own"):
        load(model, tmp_path / "cache")
    file = tmp_path / "s.yaml"
    file.write_text(SUITE.format(model=model, more="").replace("[none]", "[lora]"))
    make_plan(load_suite(file), Machine())
    safe(owned)


def test_code_that_stands_in_for_a_known_architecture_is_not_run_either(model: Path, owned: Path, tmp_path: Path) -> None:
    with_code(model, owned, "llama")
    load(model, tmp_path / "cache")
    safe(owned)


def test_attention_from_the_hub_is_code_that_somebody_must_trust(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = "name: s\nmodels: [{source: hub:a/b, attn_implementation: stranger/kernel, trust_remote_code: %s}]\nmethods: [none]\ntasks: [wikitext2]\n"
    file.write_text(text % "false")
    with pytest.raises(SuiteError, match="attn_implementation 'stranger/kernel' is code from the hub; set trust_remote_code: true"):
        load_suite(file)
    file.write_text(text % "true")
    assert load_suite(file).models[0].config.trust_remote_code


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file, which is nobody's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.json").write_text('{"root": "x:0:0"}')
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", six())


def reopened(run: Path) -> None:
    """What `harness run` does first in a run directory."""
    environment = read_run_environment()
    facts = RunFacts(suite="tests", profile=None, device="cpu", planned=[])
    with opened(run, Contents(facts, "name: tests\n", environment)):
        pass


def read_run_environment() -> Any:
    return six()[0].environment


LINKS = ("cells", "shared", "superseded", "tables", "plots", "noise", ".lock", "report.md", "suite.yaml", "run.json", "environment.json", "cells/an-id", "shared/evaluations")


@pytest.mark.parametrize("name", LINKS)
def test_a_run_directory_with_a_link_out_of_it_is_refused_and_nothing_outside_changes(name: str, run: Path, outside: Path) -> None:
    link = run / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(outside if "." not in name.removeprefix(".") else outside / "precious.json")
    said = rf"{name} is a symbolic link to .*outside.*: a run directory holds its files itself"
    with pytest.raises(NotARun, match=said):
        reopened(run)
    with pytest.raises(NotARun, match=said):
        write_report(run, ["md", "csv", "json"])
    TRIED["links"] += 1
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"precious.json": '{"root": "x:0:0"}'}
    SURVIVED["links"] += 1


def test_a_record_that_is_a_link_is_named_and_left_out(run: Path, outside: Path) -> None:
    TRIED["links"] += 4
    record = sorted((run / "records").glob("*.json"))[0]
    record.rename(outside / "record.json")
    record.symlink_to(outside / "record.json")
    (run / "records" / "passwd.json").symlink_to("/etc/passwd")
    (run / "records" / "zeros.json").symlink_to("/dev/zero")
    os.mkfifo(run / "records" / "pipe.json")
    found = read_run(run)
    assert {each.path.name: each.reason for each in found.damaged} == {
        record.name: "cannot be read: it is a symbolic link: a run holds its files itself",
        "passwd.json": "cannot be read: it is a symbolic link: a run holds its files itself",
        "zeros.json": "cannot be read: it is a symbolic link: a run holds its files itself",
        "pipe.json": "cannot be read: it is no file",
    }
    RecordStore(run).write(six()[0])  # a cell of that id that is run again replaces the link, not what it leads to
    assert not (run / "records" / f"{six()[0].cell.id}.json").is_symlink()
    assert json.loads((outside / "record.json").read_text())["cell"]["id"] == record.stem
    SURVIVED["links"] += 4


@pytest.mark.parametrize("name", ["../../outside/precious", "other", ""])
def test_a_record_that_says_it_is_another_cells_is_left_out(name: str, run: Path) -> None:
    record = sorted((run / "records").glob("*.json"))[0]
    values = json.loads(record.read_text())
    values["cell"]["id"] = name
    record.write_text(json.dumps(values))
    (found,) = read_run(run).damaged
    assert found.path == record
    assert found.reason == f"holds the record of another cell: {name}"


def test_the_directory_itself_may_be_reached_by_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(run)
    assert len(read_run(tmp_path / "latest").rows) == 6
    reopened(tmp_path / "latest")


def test_figures(ledger: Callable[..., None]) -> None:
    """The last test of this file: what those above have counted."""
    checks = {"code": "pickles that would create a file, and code of a model's repository: not run", "links": "links out of a run directory: nothing outside read, written or removed"}
    assert SURVIVED == TRIED
    for kind, count in TRIED.items():
        ledger(area="hostile input", check=checks[kind], tried=count, survived=SURVIVED[kind])
