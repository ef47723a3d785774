"""Bad suites: whatever stands in a suite file, it is planned or refused in words; at once, and without eating the memory.

HARNESS_FUZZ_CASES: how many files (1,000; CI has 5,000, see .ci/run); HARNESS_FUZZ_FIRST: the number of the first (0), to go on where an earlier run ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoilt_suites import JUNK, KEYS, shipped, spoilt

from harness.errors import HarnessError, SuiteError
from harness.needs import Machine
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

CASES = int(os.environ.get("HARNESS_FUZZ_CASES", "1000"))
FIRST = int(os.environ.get("HARNESS_FUZZ_FIRST", "0"))
MOST_SECONDS = 2.0  # of the processor, for one file
MOST_GROWTH = 300 * 2**20
LONGEST_LINE = 5000
BASE = "name: s\nmodels: [hub:a/b]\nmethods: [lora]\ntasks: [glue/rte]\n"


@contextmanager
def at_once() -> Iterator[None]:
    """Raises TimeoutError in the middle of what takes longer than MOST_SECONDS of this process' time."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"more than {MOST_SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(path: Path) -> str:
    """`planned`, or the class of the error that refused the file, whose words were looked at."""
    refused: HarnessError | None = None
    try:
        with at_once():
            make_plan(load_suite(path), Machine())
    except HarnessError as error:
        refused = error
    if refused is None:
        return "planned"
    message = str(refused)
    assert message.strip(), "an error without words"
    odd = [each for each in message if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each not in "\t\n"]
    assert not odd, f"characters that a terminal obeys or cannot show: {odd!r}"
    assert all(len(line) < LONGEST_LINE for line in message.splitlines()), "a line that nobody reads"
    assert not isinstance(refused, SuiteError) or refused.problems
    return type(refused).__name__


def check(path: Path, data: bytes) -> str:
    """Judges the file with that content; what fails is printed whole."""
    path.write_bytes(data)
    try:
        return judged(path)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nwith this suite file ({len(data):,} bytes):\n{data[:20_000]!r}") from error


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_spoilt_suite_is_planned_or_refused_in_words(root: Path, tmp_path: Path, ledger: Callable[..., None]) -> None:
    suites, counts = shipped(root), Counter[str]()
    check(tmp_path / "s.yaml", suites[0].text.encode())  # what is imported once
    began, before = time.process_time(), peak_bytes()
    numbers = range(FIRST, FIRST + CASES * 4 // 5)
    for number in numbers:
        try:
            counts[check(tmp_path / "s.yaml", spoilt(number, suites))] += 1
        except AssertionError as error:
            raise AssertionError(f"case {number} (HARNESS_FUZZ_FIRST={number} HARNESS_FUZZ_CASES=2): {error}") from error
    assert counts["planned"] > len(numbers) / 20, f"most cases are to come far: {counts}"
    assert counts["SuiteError"] > len(numbers) / 2, counts
    assert peak_bytes() - before < MOST_GROWTH
    note = f"{counts['planned']:,} planned, the others refused with file:line:column; seeds {numbers.start} to {numbers.stop - 1}"
    ledger(area="bad suites", check="a shipped suite, spoilt", tried=len(numbers), survived=sum(counts.values()), seconds=time.process_time() - began, note=note)


leaves = st.sampled_from(JUNK) | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none()
values = st.recursive(leaves, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), below, max_size=4), max_leaves=12)
sections = st.fixed_dictionaries(
    {"name": st.just("s") | values},
    optional=dict.fromkeys(("models", "quantization", "methods", "tasks", "seeds", "sweep", "train", "measure", "limits", "exclude", "report", "claims", "gate", "profiles", "defaults", "references"), values),
)


def test_whatever_yaml_can_say_is_planned_or_refused_in_words(tmp_path: Path, ledger: Callable[..., None]) -> None:
    counts, began = Counter[str](), time.process_time()

    @settings(max_examples=max(1, CASES // 5), derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(suite=values | sections | sections, ascii_only=st.booleans())
    def try_out(suite: Any, ascii_only: bool) -> None:
        text = json.dumps(suite, ensure_ascii=ascii_only)
        counts[check(tmp_path / "s.yaml", text.encode("utf-8", "surrogatepass"))] += 1

    try_out()
    ledger(area="bad suites", check="values drawn by hypothesis", tried=sum(counts.values()), survived=sum(counts.values()), seconds=time.process_time() - began)


def _methods(count: int) -> str:
    return ", ".join(f"{{id: l{at}, method: lora, r: {at + 1}}}" for at in range(count))


def _numbers(count: int) -> str:
    return ", ".join(map(str, range(1, count + 1)))


UNKNOWN_KEYS = ", ".join(f"lora_alpa{at}: 1" for at in range(150))
COSTLY = {
    "a million cells": (BASE.replace("[lora]", f"[{_methods(100)}]") + f"seeds: [{_numbers(100)}]\nsweep: {{train.max_steps: [{_numbers(100)}]}}\n", "1,000,000 cells (1 models x 1 quantization x 100 methods x 1 tasks x 100 seeds x 100 train.max_steps); a suite has at most 100,000"),
    "seeds, all of them twice": (BASE + f"seeds: [{_numbers(20_000)}, {_numbers(20_000)}]\n", "... and at least 19,900 more"),
    "a sweep without end": (BASE + f"sweep: {{train.learning_rate: [{_numbers(15_000)}]}}\n", "15,000 values; a sweep has at most 1,000"),
    "keys without end": (BASE + "train: {" + ", ".join(f"learning_rat{at}: 1" for at in range(5000)) + "}\n", "more than 500 keys in one mapping"),
    "unknown keys everywhere": (BASE.replace("[lora]", f"[{', '.join(f'{{id: m{at}, method: lora, {UNKNOWN_KEYS}}}' for at in range(200))}]"), "... and at least 1 more"),
    "unknown methods": (BASE.replace("[lora]", "[" + ", ".join(f"loraa{at}" for at in range(5000)) + "]"), "did you mean lora?"),
    "one method, many times": (BASE.replace("[lora]", f"[{', '.join(['lora'] * 5000)}]"), "the id lora is already that of methods[0]"),
    "exclusions without end": (BASE + f"seeds: [{_numbers(3000)}]\nexclude:\n" + "".join(f"- {{method: 'x*{at}'}}\n" for at in range(5000)), "expected at most 1,000 value(s)"),
    "a glob that matches slowly": (BASE + "exclude: [{method: '" + "[" * 20_000 + "'}]\n", "text of at most 500 characters"),
    "an anchor longer than any name": ("a: &" + "a" * 300_000 + " 1\nb: *" + "a" * 299_999 + "b\n", "no anchor &aaaa"),
    "a key longer than any name": (BASE + "? " + "x" * 1_900_000 + "\n: 1\n", "unknown key"),
    "brackets": (BASE + "title: " + "[" * 1_000_000, "nested more than 50 levels deep"),
    "a scalar of 10 MB": (BASE + "title: " + "x" * 10_000_000 + "\n", "the file has 9.5 MiB; a suite has at most 2 MiB"),
    "an alias bomb": ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + at)}: &{chr(98 + at)} [{','.join(['*' + chr(97 + at)] * 10)}]\n" for at in range(9)), "more than 100,000 values once its anchors are written out"),
    "a bomb of merge keys": ("a: &a {x: 1}\n" + "".join(f"{chr(98 + at)}: &{chr(98 + at)} {{<<: [{','.join(['*' + chr(97 + at)] * 10)}]}}\n" for at in range(9)), "more than 100,000 values once its anchors are written out"),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_what_would_take_long_or_much_is_refused_at_once(name: str, tmp_path: Path) -> None:
    text, words = COSTLY[name]
    file = tmp_path / "s.yaml"
    file.write_text(text)
    before = peak_bytes()
    with at_once(), pytest.raises(SuiteError) as refused:
        load_suite(file)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 40_000
    assert peak_bytes() - before < MOST_GROWTH


def test_fragments_that_name_each_other_twice_are_refused_with_the_place(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"f{number}.yaml").write_text(f"defaults: [f{number + 1}.yaml, f{number + 1}.yaml]\n" if number < 39 else BASE)
    with at_once(), pytest.raises(SuiteError, match=r"defaults\[1\]: more than 50 fragments"):
        load_suite(tmp_path / "f0.yaml")


@pytest.mark.parametrize("place", ["~nobody-of-that-name/x", "x" * 300, "/root/x", "/dev/zero", "/dev/full", "loop"])
@pytest.mark.parametrize("key", ["data", "source", "defaults", "references", "calibration", "include_path"])
def test_a_place_that_cannot_be_one_is_refused_in_words(key: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    suites = {
        "data": BASE.replace("glue/rte", f"{{task: glue/rte, data: '{place}'}}"),
        "source": BASE.replace("hub:a/b", f"'path:{place}', 'random:{place}'"),
        "defaults": BASE + f"defaults: ['{place}']\n",
        "references": BASE + f"references: ['{place}.yaml']\n",
        "calibration": BASE + f"quantization: [{{scheme: gptq-4bit, calibration: {{file: '{place}.txt'}}}}]\n",
        "include_path": BASE.replace("glue/rte", f"{{task: 'lm-eval:x', include_path: '{place}'}}"),
    }
    assert check(tmp_path / "s.yaml", suites[key].encode()) == "SuiteError"


def test_a_bomb_costs_the_command_no_memory_and_no_time(tmp_path: Path) -> None:
    """The same through `harness plan`, in a process that may have little of both."""
    for number, name in enumerate(("a million cells", "a scalar of 10 MB", "an alias bomb")):
        (tmp_path / f"{number}.yaml").write_text(COSTLY[name][0])
    code = (
        "import resource, sys\nfrom harness.cli.app import main\nresource.setrlimit(resource.RLIMIT_CPU, (20, 20))\nresource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))\nmain()"
    )
    for number in range(3):
        done = subprocess.run([sys.executable, "-c", code, "plan", str(tmp_path / f"{number}.yaml")], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr[-500:]
        assert "Traceback" not in done.stderr
        assert "at most" in done.stderr or "more than 100,000 values" in done.stderr
