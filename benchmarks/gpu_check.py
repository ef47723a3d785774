"""Everything that is measured on a GPU when one is at hand, in at most nine minutes: `make gpu-check`.

    python benchmarks/gpu_check.py [--out results/reference] [--known results/reference] [--missing] [--parts tests,step_times] [--minutes 9]
    python benchmarks/gpu_check.py --device cpu --profile smoke --out DIR

Runs the gpu-marked tests, the telemetry's overhead and the GPU suites in their `gpu-check` profile, and writes <out>/<card>/. A part has
a time of its own to end by; what it leaves over the later ones have, and what was not reached is said. --known: where earlier results
lie, which are kept where nothing newer was measured. --missing: only the cells that have none yet. --parts: no others than these, and
`models`, which they need. Exit code 0; 1: a test or a part failed; 2: there is no GPU here, and nothing was run or written. docs/gpu.md
has the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reference_results import merged, read_records, slug, write_json, write_records
from timed_parts import Clock, Part, PartResult, account_of_tests, run_part

from harness.measure.environment import cuda_unusable, environment
from harness.records.store import RecordStore

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
SUITES = ("step_times", "inference_latency", "memory_wall")
#: Shares of the whole time by which each part has to have ended.
ENDS = {
    "doctor": 0.11, "trace": 0.13, "models": 0.25, "tests": 0.42, "telemetry overhead": 0.47,
    "step_times": 0.69, "inference_latency": 0.79, "memory_wall": 0.95,
}  # fmt: skip
NO_GPU = 2


@dataclass
class Check:
    """One check. device: `cpu` or `cuda`. folder: where results go. known: where earlier ones of this card lie. scratch: for runs and logs.
    seconds: of the whole. plans: suite -> id -> the plan's cell."""

    device: str
    profile: str
    folder: Path
    known: Path
    scratch: Path
    seconds: float
    only_missing: bool
    parts: tuple[str, ...]
    clock: Clock
    results: list[PartResult] = field(default_factory=list)
    plans: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def environment(self) -> dict[str, str]:
        """Of every part: harness from this tree, and no hub."""
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}

    def run(self, name: str, *command: str, stdout: str | None = None) -> None:
        """Runs a part with this Python and keeps how it went. stdout: a file of the scratch folder for what it prints, apart from its errors."""
        if name not in self.parts:
            self.skip(name, "not asked for")
            return
        print(f"{self.clock.now:5.0f} s  {name}", flush=True)
        last = [part for part in ENDS if part in self.parts][-1]
        ends = self.seconds * (max(ENDS.values()) if name == last else ENDS[name])
        part = Part(name, [sys.executable, *command], ends, stdout=None if stdout is None else self.scratch / stdout)
        result = run_part(part, self.clock, self.scratch / f"{name.replace(' ', '_')}.log", self.environment, ROOT)
        self.results.append(result)
        if result.status != "done":
            print("\n".join([f"{self.clock.now:5.0f} s  {name}: {result.status}, {result.detail}", *result.tail]), flush=True)

    def skip(self, name: str, why: str) -> None:
        """Keeps that a part had nothing to do."""
        self.results.append(PartResult(name, "skipped", 0.0, why))


def plan_all(check: Check) -> None:
    """Plans every suite, side by side: most of it is starting Python."""
    with ThreadPoolExecutor() as threads:
        for suite, done in zip(SUITES, threads.map(lambda suite: plan(check, suite), SUITES), strict=True):
            if done.returncode == 0:
                check.plans[suite] = {cell["id"]: cell for cell in json.loads(done.stdout)["cells"] if cell["unsupported"] is None}
            else:
                check.results.append(PartResult(suite, "failed", 0.0, "it cannot be planned", done.stderr.strip().splitlines()[-5:]))


def plan(check: Check, suite: str) -> subprocess.CompletedProcess[str]:
    """`harness plan` of the suite, as JSON."""
    command = [sys.executable, "-m", "harness", "plan", f"suites/{suite}.yaml", "--profile", check.profile, "--device", check.device, "--json"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=check.environment, check=False)


def label(cell: Mapping[str, Any]) -> str:
    """The cell's place, as `llama-7b / none / lora / batch_size=4`."""
    swept = [f"{key.rpartition('.')[2]}={value}" for key, value in cell["sweep"].items()]
    return " / ".join([cell["model"], cell["quantization"], cell["method"], *swept])


def models(check: Check) -> list[str]:
    """`source=dtype` of the random models that the cells need, small ones first."""
    wanted = {drawn_as(cell) for cells in check.plans.values() for cell in cells.values()}
    return sorted(filter(None, wanted), key=lambda text: ("13b" in text, "7b" in text, text))


def drawn_as(cell: Mapping[str, Any]) -> str | None:
    """The cell's model as benchmarks/draw_models.py takes it; None for one that need not be drawn."""
    model = cell["config"]["model"]
    dtype = "bfloat16" if model["dtype"] == "auto" else model["dtype"]
    return f"{model['source']}={dtype}" if model["source"].startswith("random:") else None


def gpu_tests() -> list[str]:
    """The files with gpu-marked tests: no other is imported, because a GPU machine may lack what it needs."""
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text(encoding="utf-8")]


def run_all(check: Check) -> Iterator[str]:
    """Runs the parts in order; yields a part's name when it is over."""
    small = check.device == "cpu"
    check.run("doctor", "-m", "harness", "doctor", "--json", "--device", check.device, stdout="doctor.json")
    yield "doctor"
    if small:
        check.skip("trace", "there is no driver to record")
    else:
        check.run("trace", "-m", "harness", "doctor", "--record", str(check.scratch / "nvml_trace.jsonl"), "--seconds", "6")
    yield "trace"
    check.run("models", "benchmarks/draw_models.py", "--device", check.device, *models(check), stdout="models.txt")
    pytest = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    check.run("tests", *pytest, f"--junitxml={check.scratch / 'tests.xml'}", *gpu_tests())
    yield "tests"
    overhead = ["--json", str(check.scratch / "telemetry_overhead.json"), *(["--pairs", "4", "--seconds", "0.05"] if small else ["--pairs", "60"])]
    check.run("telemetry overhead", "benchmarks/telemetry_overhead.py", "--device", check.device, *overhead)
    yield "telemetry overhead"
    for suite in check.plans:
        run_suite(check, suite)
        yield suite


def run_suite(check: Check, suite: str) -> None:
    """Runs its cells whose models were drawn: drawing one in a cell takes minutes. With --missing those alone that no earlier check has measured."""
    known = {record.cell.id for record in read_records(check.known / f"{suite}.jsonl")} if check.only_missing else set()
    told = check.scratch / "models.txt"
    drawn = {None, *(told.read_text(encoding="utf-8").splitlines() if told.is_file() else ())}
    wanted = [id_ for id_, cell in check.plans[suite].items() if id_ not in known and drawn_as(cell) in drawn]
    if not wanted:
        check.skip(suite, "every cell whose model was drawn has been measured before")
        return
    only = [argument for id_ in wanted for argument in ("--only", id_)]
    command = ["-m", "harness", "run", f"suites/{suite}.yaml", "--profile", check.profile, "--device", check.device, "--out", str(check.scratch / suite)]
    check.run(suite, *command, *only)


def write(check: Check) -> dict[str, Any]:
    """Writes what there is so far: after every part, so that a check that is killed has left what it had. Returns check.json's values."""
    folder, here = check.folder, environment("cuda" if check.device == "cuda" else "cpu")
    write_json(folder / "environment.json", {"measured": check.begun.isoformat(timespec="seconds")} | here.model_dump(mode="json"))
    suites = {}
    for suite, cells in check.plans.items():
        run = check.scratch / suite
        now = RecordStore(run).read_all()[0] if (run / "records").is_dir() else []
        found = merged({id_: label(cell) for id_, cell in cells.items()}, read_records(check.known / f"{suite}.jsonl"), now)
        write_records(folder / f"{suite}.jsonl", found.records)
        suites[suite] = {"planned": len(cells), "measured now": found.fresh, "never measured": found.missing, "failed now": found.failed}
    told = {
        "started": check.begun.isoformat(timespec="seconds"), "seconds": round(check.clock.now, 1), "profile": check.profile,
        "parts": [dataclasses.asdict(result) for result in check.results], "tests": _tests(check), "suites": suites,
    }  # fmt: skip
    write_json(folder / "check.json", told)
    for name in ("doctor.json", "telemetry_overhead.json", "nvml_trace.jsonl"):
        if (check.scratch / name).is_file():
            (folder / name).write_bytes((check.scratch / name).read_bytes())
    return told


def _tests(check: Check) -> dict[str, Any] | None:
    """How the tests went now; where they were not run, or killed before they could tell, what an earlier check says."""
    try:
        return account_of_tests(check.scratch / "tests.xml") | {"at": check.begun.isoformat(timespec="seconds")}
    except (OSError, xml.ParseError):
        earlier = check.known / "check.json"
        return json.loads(earlier.read_text(encoding="utf-8"))["tests"] if earlier.is_file() else None


def summary(told: Mapping[str, Any]) -> Iterator[str]:
    """What went how, in lines for a person."""
    for part in told["parts"]:
        yield f"{part['name']:<20} {part['status']:<12} {part['seconds']:6.1f} s  {part['detail']}".rstrip()
    if told["tests"] is not None:
        tests = told["tests"]
        yield f"tests: {tests['passed']} passed, {len(tests['failed'])} failed, {len(tests['skipped'])} skipped"
        yield from (f"  failed: {name}: {' '.join(why)}" for name, why in tests["failed"].items())
    for suite, found in told["suites"].items():
        yield f"{suite}: {len(found['measured now'])} of {found['planned']} cells measured now, {len(found['never measured'])} never"
        yield from (f"  not reached: {cell}" for cell in found["never measured"])
        yield from (f"  {cell}: {why}" for cell, why in found["failed now"].items())


def arguments() -> argparse.Namespace:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--profile", default="gpu-check")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--known", type=Path, default=REFERENCE)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--parts", type=lambda text: (*text.split(","), "models"), default=tuple(ENDS))
    parser.add_argument("--minutes", type=float, default=9.0)
    given = parser.parse_args()
    if not set(given.parts) <= set(ENDS):
        parser.error(f"--parts: known are {', '.join(ENDS)}")
    if given.device == "cpu" and (given.out is None or given.out.resolve().is_relative_to(REFERENCE)):
        parser.error("--device cpu is a rehearsal: give it an --out of its own; results/reference is for what a GPU did")
    return given


def main() -> int:
    """Runs the check; returns its exit code."""
    given, clock = arguments(), Clock(time.monotonic())
    unusable = cuda_unusable() if given.device == "cuda" else None
    if unusable is not None:
        print(f"no GPU to check: {unusable}. Nothing was run and nothing written.", file=sys.stderr)
        return NO_GPU
    card = slug(environment("cuda").gpu if given.device == "cuda" else None)
    out = (given.out or REFERENCE).resolve()
    known = given.known.resolve() if given.device == "cuda" else out
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        check = Check(given.device, given.profile, out / card, known / card, Path(scratch), 60 * given.minutes, given.missing, given.parts, clock)
        plan_all(check)
        for _ in run_all(check):
            told = write(check)
    print("\n".join(summary(told)))
    print(f"written to {check.folder}")
    failed = any(result.status == "failed" for result in check.results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
