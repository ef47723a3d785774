"""Writes constraints.lock: every pin of constraints.txt with the hashes of the files that pip takes, so that nothing else can be installed.

    python ci/lock.py [--all] [--python 3.12]... [--check]

Asks pip, in the manner of an installation that installs nothing, which file it would take of each pin that has no hash yet; with `--all`
of every pin, as is due on another platform, and with `--python` which wheels for another Python. Hashes that constraints.lock has of the same
version are kept. `--check` writes nothing and compares names and versions alone: exit code 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS, LOCK = ROOT / "constraints.txt", ROOT / "constraints.lock"
HEADING = """\
# Every pin of constraints.txt with the SHA-256 of its files: pip install --require-hashes --no-deps -r constraints.lock
# Made by ci/lock.py; docs/supply_chain.md.
"""

Hashes = dict[tuple[str, str], list[str]]


def canonical(name: str) -> str:
    """A distribution's name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> list[tuple[str, str]]:
    """(name, version) of every line `name==version` of constraints, in their order."""
    return [(canonical(name), version) for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, re.MULTILINE)]


def locked(text: str) -> Hashes:
    """The hashes that the text of a lock has, by name and version."""
    joined = text.replace("\\\n", " ")
    return {
        (canonical(name), version): re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)
        for name, version, rest in re.findall(r"^([A-Za-z0-9][\w.-]*)==(\S+)(.*)$", joined, re.MULTILINE)
    }


def render(pinned: Iterable[tuple[str, str]], hashes: Hashes) -> str:
    """The text of the lock. Raises KeyError for a pin without a hash."""
    return HEADING + "".join(f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{each}" for each in sorted(hashes[name, version])) + "\n" for name, version in pinned)


def asked(pinned: Iterable[tuple[str, str]], python: str | None) -> Hashes:
    """What pip would take of each, for that Python (None: this one, sources included)."""
    with tempfile.TemporaryDirectory() as folder:
        pinned_file, report = Path(folder, "pins.txt"), Path(folder, "report.json")
        pinned_file.write_text("".join(f"{name}=={version}\n" for name, version in pinned), encoding="utf-8")
        elsewhere = ["--python-version", python, "--only-binary", ":all:", "--target", folder] if python else []
        command = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", str(report), *elsewhere, "-r", str(pinned_file)]
        subprocess.run([sys.executable, "-m", "pip", *command], check=True)
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        (canonical(each["metadata"]["name"]), each["metadata"]["version"].split("+")[0]): [each["download_info"]["archive_info"]["hashes"]["sha256"]]
        for each in installs
    }


def main() -> None:
    """Writes the lock, or says what it lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", default=[], help="lock the wheels of this Python too, as 3.12; may be repeated")
    parser.add_argument("--all", action="store_true", help="ask for every pin, not only for those without a hash")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the lock is not of these pins")
    arguments = parser.parse_args()
    pinned = pins(PINS.read_text(encoding="utf-8"))
    known = locked(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    if arguments.check:
        differ = (set(pinned) ^ set(known)) | {pin for pin, hashes in known.items() if not hashes}
        print("\n".join(f"{name}=={version}: constraints.txt and constraints.lock differ, or it has no hash" for name, version in sorted(differ)))
        sys.exit(int(bool(differ)))
    found: Hashes = {pin: list(known.get(pin, [])) for pin in pinned}
    here = [pin for pin in pinned if arguments.all or not found[pin]]
    for python, wanted in [(None, here), *((python, pinned) for python in arguments.python)]:
        for pin, hashes in asked(wanted, python).items() if wanted else ():
            found[pin] = sorted({*found[pin], *hashes})
    LOCK.write_text(render(pinned, found), encoding="utf-8")
    print(f"{LOCK}: {len(pinned)} pins")


if __name__ == "__main__":
    main()
