"""Gathers, as wheels, the Python packages that a GPU machine without a network lacks: a folder that travels there.

    python benchmarks/carry_wheels.py --python python3.12 [--cuda 130] [--into .wheels] [PACKAGE...]

--python: an interpreter of the version that the GPU machine has, with pip: what has no wheel is built with it. Versions are those of
constraints.txt. bitsandbytes' wheel carries a library for every CUDA, ROCm and XPU there is, 43 MB; of these it keeps those for --cuda and
for the CPU. torch, transformers, peft and what else comes with a machine for torch are not among the packages; name them to add them.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "bitsandbytes", "datasets", "dill", "multiprocess", "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions",
    "hqq", "termcolor", "torchao", "optimum", "optimum-quanto", "gptqmodel", "device-smi", "tokenicer", "logbar", "pypcre", "defuser",
)  # fmt: skip
NATIVE = re.compile(r"bitsandbytes/libbitsandbytes_(?P<device>[a-z]+)(?P<version>\d*)\.(so|dll)$")


def is_needed(cuda: str) -> Callable[[str], bool]:
    """Which files of bitsandbytes' wheel a machine with this CUDA (as `130`) needs: all but the other devices' libraries."""

    def needed(name: str) -> bool:
        native = NATIVE.search(name)
        return native is None or native["device"] == "cpu" or (native["device"], native["version"]) == ("cuda", cuda)

    return needed


def trimmed(wheel: Path, needed: Callable[[str], bool]) -> int:
    """Packs the wheel anew with the files that are needed, and a RECORD of them; returns how many were left out.

    Raises ValueError for a file that is no wheel.
    """
    with zipfile.ZipFile(wheel) as old:
        record = next((name for name in old.namelist() if name.endswith(".dist-info/RECORD")), None)
        if record is None:
            raise ValueError(f"{wheel} is no wheel: it has no RECORD")
        kept = [name for name in old.namelist() if needed(name) and name != record]
        contents = {name: old.read(name) for name in kept}
        left_out = len(old.namelist()) - len(kept) - 1
    aside = wheel.with_suffix(".partial")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in contents.items():
            new.writestr(name, content)
        new.writestr(record, _record(contents, record))
    aside.replace(wheel)
    return left_out


def _record(contents: dict[str, bytes], record: str) -> str:
    """RECORD's rows: path, digest, bytes. Source: the packaging specification of binary distributions."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([record, "", ""])
    return rows.getvalue()


def gather(packages: list[str], python: str, into: Path) -> list[str]:
    """Has pip fetch or build a wheel of each, without what they need in turn; returns those that it could not get, with pip's words."""
    missing = []
    for package in packages:
        command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-w", str(into), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            missing.append(f"{package}: {errors[-1] if errors else done.stderr.strip()[-200:]}")
    return missing


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--cuda", default="130")
    parser.add_argument("--into", type=Path, default=ROOT / ".wheels")
    parser.add_argument("packages", nargs="*", default=list(PACKAGES))
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    missing = gather(given.packages, given.python, given.into)
    for wheel in given.into.glob("bitsandbytes-*.whl"):
        print(f"{wheel.name}: {trimmed(wheel, is_needed(given.cuda))} libraries of other devices left out")
    wheels = sorted(given.into.glob("*.whl"))
    print(f"{given.into}: {len(wheels)} wheels, {sum(wheel.stat().st_size for wheel in wheels) / 2**20:.1f} MiB")
    if missing:
        raise SystemExit("\n".join(missing))


if __name__ == "__main__":
    main()
