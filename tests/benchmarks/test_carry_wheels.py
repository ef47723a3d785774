"""Wheels that travel to a machine without a network: what is left out of bitsandbytes' and what pip makes of the rest."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from carry_wheels import is_needed, trimmed

NAMES = ("cpu", "cuda128", "cuda130", "rocm64", "xpu2025")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """One that is built like bitsandbytes', with a library of a megabyte for each device."""
    path = tmp_path / "bitsandbytes-0.50.2-py3-none-any.whl"
    info = "bitsandbytes-0.50.2.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("bitsandbytes/__init__.py", "ANSWER = 42\n")
        for name in NAMES:
            file.writestr(f"bitsandbytes/libbitsandbytes_{name}.so", name.encode() * 2**18)
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bitsandbytes\nVersion: 0.50.2\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "bitsandbytes/__init__.py,,\n")
    return path


def test_the_libraries_of_other_devices_are_left_out_and_pip_installs_the_rest(wheel: Path, tmp_path: Path) -> None:
    assert trimmed(wheel, is_needed("130")) == 3
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(site), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (site / "bitsandbytes").glob("*.so")) == ["libbitsandbytes_cpu.so", "libbitsandbytes_cuda130.so"]
    assert (site / "bitsandbytes" / "libbitsandbytes_cuda130.so").read_bytes() == b"cuda130" * 2**18


def test_the_record_holds_every_file_with_its_digest(wheel: Path) -> None:
    trimmed(wheel, is_needed("128"))
    with zipfile.ZipFile(wheel) as file:
        lines = file.read("bitsandbytes-0.50.2.dist-info/RECORD").decode().splitlines()
        assert {line.split(",")[0] for line in lines} == set(file.namelist())
        digest = next(line for line in lines if line.startswith("bitsandbytes/__init__.py"))
    assert digest == "bitsandbytes/__init__.py,sha256=XbAo4nI7yIz1ZX-St4TyhoNlf3RZyvfwxUKZv2y0s_w,12"


def test_a_file_without_a_record_is_no_wheel(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.py", "")
    with pytest.raises(ValueError, match="is no wheel"):
        trimmed(path, is_needed("130"))
