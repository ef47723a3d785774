"""`harness bisect-env`: which commands find out which package did it, and that they can be run as they are printed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gate_factory import cell, compared, environment, six

from harness.analysis.gate.bisect import Asked, Bisection, Tonight, bisection
from harness.analysis.gate.compare import Comparison
from harness.errors import RequestError
from harness.records.schema import Git, Record

OLD = {"torch": "2.13.0", "peft": "0.21.2", "bitsandbytes": "0.49"}
NEW = OLD | {"bitsandbytes": "0.50"}
TONIGHT = Tonight("/opt/py thon", "3.11", ("/opt/site-packages",), Path("/src/harness"))
TINY = """
name: tiny-night
models: [{id: micro-encoder, source: micro:encoder}]
methods: [none]
tasks: [{id: sst2, task: glue/sst2, data: micro, max_eval_samples: 16}]
"""


def worse(scheme: str, method: str) -> dict[str, Any]:
    """Scores fell in 4 bits; IA3 is the quickest."""
    return {"seconds": 3.0 if method == "ia3" else 9.0} | ({"accuracy": 0.7} if scheme == "bnb-nf4" else {})


def with_versions(records: Sequence[Record], packages: dict[str, str], **fields: Any) -> list[Record]:
    return [each.model_copy(update={"environment": environment(packages=packages, **fields)}) for each in records]


def regressed(folder: Path, before: dict[str, str], now: dict[str, str]) -> Comparison:
    quick = six(lambda scheme, method: {"seconds": worse("none", method)["seconds"]})
    return compared(folder, with_versions(quick, before), with_versions(six(worse), now))


def bisected(found: Comparison, installed: dict[str, str] = NEW, **asked: Any) -> Bisection:
    return bisection(found, Asked("nightly", "now/suite.yaml", **asked), TONIGHT, installed)


def test_one_package_at_a_time_is_moved_back_over_tonight_s_environment_on_the_quickest_regressed_cell(tmp_path: Path) -> None:
    found = bisected(regressed(tmp_path, OLD, NEW))
    (row,) = found.cells
    assert (row.axes["quantization"], row.axes["method"]) == ("bnb-nf4", "ia3")
    venv = "bisect/bitsandbytes-0.49"
    assert found.trials[0].commands == (
        f"'/opt/py thon' -m venv --without-pip {venv}",
        f"""printf '%s\\n' 'import site; site.addsitedir("/opt/site-packages")' > {venv}/lib/python3.11/site-packages/tonight.pth""",
        f"{venv}/bin/python -m pip install bitsandbytes==0.49",
        f"HARNESS_CACHE={venv}/cache {venv}/bin/python -m harness run now/suite.yaml --only {row.record.cell.id} --device cpu --out {venv}/run",
        f"{venv}/bin/python -m harness compare nightly {venv}/run --allow-different unfinished",
    )
    assert found.control == tuple(
        line.replace(f"{venv}/bin/python", "'/opt/py thon'").replace(venv, "bisect/tonight") for line in found.trials[0].commands[3:]
    )
    assert not found.cautions


def test_packages_that_the_cell_uses_come_first_and_new_ones_get_an_environment_without_them(tmp_path: Path) -> None:
    found = bisected(regressed(tmp_path, OLD, NEW | {"hqq": "0.3"}))
    assert [trial.package.name for trial in found.trials] == ["bitsandbytes", "hqq"]
    assert found.trials[1].commands[:4] == (
        "'/opt/py thon' -m venv bisect/hqq-absent",
        "'/opt/py thon' -m pip freeze --exclude-editable --exclude harness --exclude hqq > bisect/hqq-absent/tonight.txt",
        "bisect/hqq-absent/bin/python -m pip install --no-deps -r bisect/hqq-absent/tonight.txt",
        "bisect/hqq-absent/bin/python -m pip install --no-deps -e /src/harness",
    )


def test_torch_s_own_builds_come_from_torch_s_index(tmp_path: Path) -> None:
    found = bisected(regressed(tmp_path, OLD | {"torch": "2.12.0+cu126"}, OLD))
    assert found.trials[0].commands[2].endswith("pip install --extra-index-url https://download.pytorch.org/whl/cu126 torch==2.12.0+cu126")


def test_all_seeds_are_run_and_compared_as_was_asked(tmp_path: Path) -> None:
    def seeds(accuracy: float, packages: dict[str, str]) -> list[Record]:
        return with_versions([cell(seed=seed, accuracy=accuracy) for seed in range(3)], packages)

    found = bisected(compared(tmp_path, seeds(0.9, OLD), seeds(0.7, NEW)), gate="my gate.yaml", allowed=("protocol",))
    assert found.control[0].count("--only") == 3
    assert found.control[1].endswith("--gate 'my gate.yaml' --allow-different protocol --allow-different unfinished")


def test_an_environment_that_is_not_the_run_s_is_told(tmp_path: Path) -> None:
    (caution,) = bisected(regressed(tmp_path, OLD, NEW), NEW | {"torch": "2.14.0"}).cautions
    assert caution.endswith("it had torch 2.13.0, here 2.14.0")


def test_a_changed_commit_is_for_git_bisect(tmp_path: Path) -> None:
    def at(commit: str, **fields: Any) -> list[Record]:
        return with_versions(six(**fields), OLD, git=Git(commit=commit * 40, dirty=False))

    assert bisected(compared(tmp_path, at("a"), at("b", accuracy=0.5))).other == (f"git bisect start {'b' * 10} {'a' * 10}",)


def test_there_is_nothing_to_bisect_where_nothing_regressed_or_nothing_changed(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nothing to bisect"):
        bisected(compared(tmp_path / "a", six(), six()))
    with pytest.raises(RequestError, match="nothing to move back"):
        bisected(compared(tmp_path / "b", six(), six(accuracy=0.5)))
    with pytest.raises(RequestError, match="not comparable"):
        bisected(compared(tmp_path / "c", six(), six(environment=environment(cpu="Other CPU"))))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_run_as_they_are_printed(tmp_path: Path) -> None:
    """A package that the cell does not use is moved back to a version that exists in this test alone; tonight's scores were made worse by hand."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    harness = [sys.executable, "-m", "harness"]
    subprocess.run([*harness, "run", "tiny.yaml", "--device", "cpu", "--out", "base"], cwd=tmp_path, check=True, capture_output=True)
    shutil.copytree(tmp_path / "base", tmp_path / "now")
    rewrite(tmp_path / "base", {"packages": {"lm-eval": "0.0.1"}, "accuracy": 1.0})
    rewrite(tmp_path / "now", {"packages": {}, "accuracy": 0.0})
    wheel(tmp_path / "wheels", "lm_eval", "0.0.1")
    printed = subprocess.run([*harness, "bisect-env", "base", "now"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    lines = [line for line in printed.splitlines() if line and not line.startswith("#")]
    offline = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    codes = [subprocess.run(["bash", "-c", line], cwd=tmp_path, env=offline, check=False, capture_output=True).returncode for line in lines]
    assert codes == [0, 1, 0, 0, 0, 0, 1]  # the control is worse as well, and this package did not do it
    (record,) = (tmp_path / "bisect" / "lm-eval-0.0.1" / "run" / "records").glob("*.json")
    trial, tonight = (json.loads(path.read_text(encoding="utf-8"))["environment"]["packages"] for path in (record, tmp_path / "now" / "records" / record.name))
    assert trial == tonight | {"lm-eval": "0.0.1"}


def rewrite(run: Path, changed: dict[str, Any]) -> None:
    """Changes versions and every final accuracy of the run's records."""
    for path in (run / "records").glob("*.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["environment"]["packages"] |= changed["packages"]
        for metric in values["metrics"]:
            if metric["name"] == "accuracy":
                metric |= {"value": changed["accuracy"], "items": [changed["accuracy"]] * metric["n"], "stderr": 0.0}
        path.write_text(json.dumps(values), encoding="utf-8")


def wheel(folder: Path, name: str, version: str) -> None:
    """A wheel that says its version and holds nothing."""
    folder.mkdir()
    facts = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", f"{facts}/METADATA,,\n{facts}/WHEEL,,\n{facts}/RECORD,,\n")
