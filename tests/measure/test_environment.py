"""What records say of the machine, found out without torch."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.measure.environment import cuda_unusable, environment, machine, torch_cuda


def test_the_environment_names_versions_and_machine() -> None:
    found = environment("cpu")
    assert found.packages["torch"] == version("torch")
    assert found.packages["numpy"] == version("numpy")
    assert found.python == platform.python_version()
    assert found.cores is not None
    assert found.cores >= 1
    assert found.memory_bytes is not None
    assert found.memory_bytes > 2**28
    assert (found.gpu, found.driver, found.cuda) == (None, None, None), "of a cell on the CPU no GPU is told"


def test_the_cuda_version_is_the_one_that_torch_is_built_for() -> None:
    import torch

    assert torch_cuda() == torch.version.cuda


def test_looking_at_the_machine_imports_no_torch() -> None:
    code = (
        "import sys\nfrom harness.measure.environment import environment, machine\n"
        "environment(machine('auto').device)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_machines_device_is_what_torch_would_use() -> None:
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert machine("auto").device == done.stdout.strip()
    assert (cuda_unusable() is None) == (done.stdout.strip() == "cuda")
    assert machine("cpu").device == "cpu"


def test_git_is_told_inside_a_working_tree_and_null_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment("cpu").git is None
    git("init")
    assert environment("cpu").git is None, "no commit yet"
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    found = environment("cpu").git
    assert found is not None
    assert (found.commit, found.dirty) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "untracked").write_text("a suite, say")
    assert environment("cpu").git == found
    (tmp_path / "file").write_text("two")
    changed = environment("cpu").git
    assert changed is not None
    assert changed.dirty


def test_git_is_null_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment("cpu").git is None
