"""Whatever else is read from disk, cut, corrupt or of another form: it is named in an error or named and left out, and nothing else falls over.

HARNESS_FUZZ_FILES: how often each kind of file is spoilt (20); half of that for records, each of which is made into a report.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_factory import run as finished_run
from gate_factory import six
from noise_factory import noisy_run
from record_factory import record
from spoilt_suites import corrupt, spoil_tree
from test_spoilt_suites import at_once

from harness.analysis.gate.compare import compare_paths
from harness.analysis.gate.saving import save
from harness.analysis.over_time import add_run, read_series
from harness.analysis.reference_files import read_reference
from harness.analysis.run import read_run
from harness.errors import HarnessError
from harness.interop.base import Asked
from harness.interop.reference import import_results
from harness.records.baseline import read_baseline
from harness.records.noise import read_noise
from harness.report.write import write_report
from harness.runs.directory import RunFacts, runs_like
from harness.suite.gate import read_gate

CASES = int(os.environ.get("HARNESS_FUZZ_FILES", "20"))
LM_EVAL = {
    "results": {"hellaswag": {"alias": "hellaswag", "acc,none": 0.4, "acc_stderr,none": 0.01}, "arc": {"acc,none": 0.3}}, "group_subtasks": {}, "configs": {},
    "config": {"model": "hf", "model_args": "pretrained=owner/tiny,dtype=float16", "limit": None}, "date": 1.7e9, "n-shot": {"hellaswag": 0}, "versions": {"hellaswag": 1.0},
    "model_name": "owner/tiny", "lm_eval_version": "0.4.13",
}  # fmt: skip
GATE = {"alpha": 0.05, "undecided": "pass", "quantities": {"memory.peak_vram": {"tolerance": "2 %"}, "accuracy": {"tolerance": 1.0}, "timing.*": {"ignore": True}}}
SUITE = "name: tests\nmodels: [{id: tiny, source: hub:owner/tiny}]\nquantization: [none, bnb-nf4]\nmethods: [full, lora, ia3]\ntasks: [{id: rte, task: glue/rte}]\n"


def spoilt_json(text: str, number: int) -> bytes:
    """The file with something in it changed, or cut, or with bytes flipped; of a JSON Lines file one line."""
    rng = random.Random(number)
    kind = rng.random()
    if kind < 0.15:
        return text[: rng.randrange(len(text))].encode()
    if kind < 0.3:
        return corrupt(text.encode(), rng)
    if kind < 0.35:
        return rng.choice((b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"9" * 5000, b"NaN", b'"\\ud800"', b"\x00" * 100))
    lines = text.split("\n") if "\n{" in text else [text]
    at = rng.randrange(len([line for line in lines if line.strip()]))
    tree = json.loads(lines[at])
    for _ in range(rng.choice((1, 1, 2, 4))):
        tree = spoil_tree(tree, rng)
    lines[at] = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def tried(path: Path, use: Callable[[], Any], first: int = 0, cases: int = CASES) -> Counter[str]:
    """How `use` ended for every spoilt form of the file; raises AssertionError with the content where it ended badly."""
    whole, counts = path.read_text(encoding="utf-8"), Counter[str]()
    for number in range(first, first + cases):
        path.write_bytes(spoilt_json(whole, number))
        try:
            with at_once():
                use()
            counts["used"] += 1
        except HarnessError as error:
            counts["refused" if str(error).strip() else "refused without a word"] += 1
        except Exception as error:
            raise AssertionError(f"case {number}: {type(error).__name__}: {error}\nwith this {path.name}:\n{path.read_bytes()[:20_000]!r}") from error
    path.write_text(whole, encoding="utf-8")
    assert not counts["refused without a word"]
    use()  # the whole file is sound, so that what was refused was refused for what was spoilt
    return counts


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "run", six(), suite=SUITE)


def one_record(run: Path) -> Path:
    return sorted((run / "records").glob("*.json"))[0]


def test_a_spoilt_record_is_named_and_left_out_or_reported_like_any_other(run: Path, ledger: Callable[..., None]) -> None:
    path = one_record(run)
    named = 0

    def use() -> None:
        nonlocal named
        found = read_run(run)
        assert {each.path for each in found.damaged} <= {path}
        named += len(found.damaged)
        assert len(found.rows) + len(found.damaged) + len(found.left_out) == 6, "a record has vanished without a word"
        if not found.damaged:
            write_report(run, ["md", "csv", "json", "latex"], run.parent / "out")

    counts = tried(path, use, cases=CASES // 2)
    assert named > CASES // 10
    assert not counts["refused"], "one damaged record costs the report of the others"
    ledger(area="bad files", check="a record cut, corrupt or changed: named and left out, the others reported", tried=CASES // 2, survived=counts["used"])


@pytest.mark.parametrize("name", ["run.json", "suite.yaml", "environment.json"])
def test_another_spoilt_file_of_a_run_costs_no_more_than_itself(name: str, run: Path, ledger: Callable[..., None]) -> None:
    path = run / name
    if name == "suite.yaml":
        path.write_text(json.dumps({"name": "tests", "models": [{"id": "tiny", "source": "hub:owner/tiny"}], "methods": ["full", "lora", "ia3"], "tasks": [{"id": "rte", "task": "glue/rte"}], "claims": [
            {"id": "c", "source": "s", "left": {"metric": "accuracy", "where": {"method": "lora"}}, "relation": ">", "right": {"metric": "accuracy", "where": {"method": "full"}}}]}))  # fmt: skip
    elif name == "environment.json":
        path.write_text(record().environment.model_dump_json(indent=1))

    def use() -> None:
        assert len(read_run(run).rows) + len(read_run(run).left_out) == 6
        list(runs_like(RunFacts(suite="tests", profile=None, device="cpu", planned=[]), run.parent))

    counts = tried(path, use, first=10_000)
    assert not counts["refused"]
    ledger(area="bad files", check=f"{name} cut, corrupt or changed: the records are read all the same", tried=CASES, survived=counts["used"])


def test_a_spoilt_noise_file_costs_the_floors_and_not_the_report(tmp_path: Path, ledger: Callable[..., None]) -> None:
    run = noisy_run(tmp_path / "run", lambda number: [record(peak=1000 + number)], 3)
    counts = tried(run / "noise.json", lambda: read_run(run), first=20_000)
    assert not counts["refused"]
    refused = tried(run / "noise.json", lambda: read_noise(run / "noise.json"), first=20_000)
    assert refused["refused"] > CASES // 4
    ledger(area="bad files", check="noise.json", tried=2 * CASES, survived=sum(counts.values()) + sum(refused.values()))


def test_a_spoilt_baseline_is_refused_with_its_line_or_compared(run: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    kept = save(run, "nightly", "me", reference=tmp_path / "reference").path
    counts = tried(kept, lambda: compare_paths(str(kept), run, None, ()), first=30_000, cases=CASES // 2)
    assert counts["refused"] > CASES // 10
    kept.write_text("{}\n")
    with pytest.raises(HarnessError, match=r"nightly\.jsonl:1: "):
        read_baseline(kept)
    ledger(area="bad files", check="a baseline: refused with file and line, or compared", tried=CASES // 2, survived=sum(counts.values()))


def test_a_spoilt_gate_is_refused_in_words(tmp_path: Path, ledger: Callable[..., None]) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(json.dumps(GATE))
    counts = tried(path, lambda: read_gate(path), first=40_000)
    ledger(area="bad files", check="a gate", tried=CASES, survived=sum(counts.values()))


def test_a_spoilt_history_is_refused_by_name(run: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    whole = tmp_path / "whole.sqlite"
    add_run(run, whole)
    data, counts = whole.read_bytes(), Counter[str]()
    for number in range(CASES):
        rng = random.Random(number)
        path = tmp_path / "history.sqlite"
        at = rng.choice((rng.randrange(100), rng.randrange(len(data))))
        path.write_bytes(rng.choice((data[:at], data[:at] + rng.randbytes(200) + data[at + 200 :], corrupt(data, rng))))
        try:
            with at_once():
                add_run(run, path)
                read_series(path, "memory.peak_vram")
            counts["used"] += 1
        except HarnessError as error:
            counts["refused" if "history" in str(error) else str(error)] += 1
        for left in tmp_path.glob("history.sqlite*"):
            left.unlink()
    assert set(counts) <= {"used", "refused"}, counts
    ledger(area="bad files", check="a history database", tried=CASES, survived=sum(counts.values()))


@pytest.mark.parametrize("tool", ["lm-eval", "peft"])
def test_another_tools_spoilt_results_are_refused_by_name_or_imported(tool: str, root: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    path = tmp_path / "results_1.json"
    path.write_text(json.dumps(LM_EVAL if tool == "lm-eval" else json.loads((root / "tests" / "interop" / "peft_result.json").read_text())))

    def use() -> None:
        shutil.rmtree(tmp_path / "refs", ignore_errors=True)
        imported, _ = import_results([path], "theirs", tmp_path / "refs", Asked())
        read_reference(imported)  # what was taken is a sound reference

    counts = tried(path, use, first=50_000)
    assert counts["refused"] > CASES // 10
    ledger(area="bad files", check=f"results of {tool}", tried=CASES, survived=sum(counts.values()))


def test_a_spoilt_reference_is_refused_with_its_place(root: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    from harness.suite.nodes import plain
    from harness.suite.yaml_nodes import read_yaml

    total = Counter[str]()
    for number, source in enumerate(sorted((root / "suites" / "references").glob("*.yaml"))[:5]):
        path = tmp_path / source.name
        path.write_text(json.dumps(plain(read_yaml(source))))
        total += tried(path, lambda file=path: read_reference(file), first=60_000 + 1000 * number, cases=max(1, CASES // 5))
    assert total["refused"] > CASES // 4
    ledger(area="bad files", check="a file of published numbers", tried=sum(total.values()), survived=sum(total.values()))
