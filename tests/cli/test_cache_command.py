"""`harness cache`: what is there, whether it is sound, what goes; and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.quantization.cache import Quantized, QuantizedCache
from harness.quantization.cache_entry import Subject, Title
from harness.records.schema import QuantizationCost

FIELDS = {"bits": 4, "calibration": {"set": "c4", "file": None, "samples": 128, "length": 2048}}


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Quantized]:
    """Two entries of the cache: gptq-4bit of opt-125m, rtn-4bit of llama."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return [made(tmp_path, "hub:facebook/opt-125m", "gptq-4bit", FIELDS), made(tmp_path, "path:/models/llama", "rtn-4bit", {})]


def made(cache: Path, model: str, scheme: str, fields: dict[str, object]) -> Quantized:
    def fill(folder: Path) -> Quantized:
        (folder / "model.safetensors").write_bytes(bytes(3 * 2**20))
        cost = QuantizationCost(seconds=1.0, peak_bytes=None, disk_bytes=3 * 2**20, made=datetime(2026, 1, 2, 12, tzinfo=UTC), here=True)
        return Quantized(folder, None, cost)

    subject = Subject(model=model, scheme=scheme, recipe=1, head="", task=None, device="cpu", versions={})
    return QuantizedCache(cache).made(Title(model=model, revision="f" * 40, scheme=scheme, fields=fields), subject, fill, lambda *_: None)


def release(entries: list[Quantized]) -> None:
    for entry in entries:
        assert entry.used is not None
        entry.used.release()


def harness(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "harness.cli.app", "cache", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_list_says_what_each_entry_is(entries: list[Quantized]) -> None:
    text = harness("list")
    (line,) = [line for line in text.splitlines() if "gptq-4bit" in line]
    for part in ("hub:facebook/opt-125m@ffffffff", "c4 128 x 2048", "3.00 MiB", "2026-01-02"):
        assert part in line
    assert "2 entries, 6.00 MiB" in text
    assert {each["entry"]["title"]["scheme"] for each in json.loads(harness("list", "--json"))} == {"gptq-4bit", "rtn-4bit"}


def test_checkpoints_that_were_rewritten_are_listed_with_their_size(entries: list[Quantized], tmp_path: Path) -> None:
    assert "ChatGLM" not in harness("list")
    for name in ("0123456789abcdef", ".fedcba9876543210.77"):  # the second is on its way
        (tmp_path / "chatglm" / name).mkdir(parents=True)
        (tmp_path / "chatglm" / name / "model-00001-of-00001.safetensors").write_bytes(bytes(2 * 2**20))
    text = harness("list")
    assert "0123456789abcdef  ChatGLM checkpoint rewritten for the native class  2.00 MiB" in text
    assert f"{tmp_path / 'chatglm'}: 1 checkpoints, 2.00 MiB" in text


def test_an_empty_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert "0 entries" in harness("list")
    assert "0 of 0 entries are sound" in harness("verify")
    assert "removed 0 entries" in harness("prune", "--all")


def test_verify_names_the_damaged_and_prune_removes_them_alone(entries: list[Quantized]) -> None:
    assert "2 of 2 entries are sound" in harness("verify")
    (entries[0].weights / "model.safetensors").write_bytes(b"cut")
    text = harness("verify", code=1)
    assert "hub:facebook/opt-125m gptq-4bit: damaged: model.safetensors has 3 bytes instead of 3,145,728" in text
    assert "1 of 2 entries are sound" in text
    release(entries)
    harness("prune", "--damaged")
    assert "2 of 2" not in harness("verify")
    assert not entries[0].weights.exists()
    assert entries[1].weights.exists()


def test_prune_removes_what_fits_every_condition_and_dry_run_nothing(entries: list[Quantized]) -> None:
    release(entries)
    assert "removed 0 entries" in harness("prune", "--model", "opt-*", "--scheme", "rtn-*")
    assert "removed 0 entries" in harness("prune", "--older-than", "1")
    assert "would remove" in harness("prune", "--scheme", "rtn-*", "--dry-run")
    assert entries[1].weights.exists()
    harness("prune", "--scheme", "rtn-*")
    assert entries[0].weights.exists()
    assert not entries[1].weights.exists()


def test_prune_leaves_what_a_running_cell_uses_and_says_so(entries: list[Quantized]) -> None:
    text = harness("prune", "--all", code=1)
    assert text.count("a running cell uses it") == 2
    release(entries)
    assert "removed 2 entries" in harness("prune", "--all")


@pytest.mark.parametrize("arguments", [[], ["--all", "--damaged"], ["--older-than", "-1"], ["--newer"]])
def test_a_request_that_does_not_say_what_goes_is_wrong(entries: list[Quantized], arguments: list[str]) -> None:
    harness("prune", *arguments, code=2)
    assert entries[0].weights.exists()
