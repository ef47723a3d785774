"""The kernel's count of out-of-memory kills, read from files such as it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs import oom_kills
from harness.runs.oom_kills import OomKills


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without control groups."""
    monkeypatch.setattr(oom_kills, "VMSTAT", tmp_path / "vmstat")
    monkeypatch.setattr(oom_kills, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(oom_kills, "MOUNT", tmp_path / "mount")
    (tmp_path / "vmstat").write_text("oom_kill 7\npgfault 12\n")
    return tmp_path


def test_a_kill_is_claimed_once(kernel: Path) -> None:
    kills = OomKills()
    before = kills.count()
    assert before == 7
    assert not kills.claim(before)
    (kernel / "vmstat").write_text("oom_kill 8\n")
    assert kills.claim(before)
    assert not kills.claim(before), "a second process that was killed by hand is not the kernel's"


def test_the_own_control_group_is_asked_before_the_machine(kernel: Path) -> None:
    group = kernel / "mount" / "user.slice" / "mine"
    group.mkdir(parents=True)
    (kernel / "cgroup").write_text("0::/user.slice/mine\n")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n")
    assert OomKills().count() == 1


def test_control_groups_of_version_1_are_understood(kernel: Path) -> None:
    group = kernel / "mount" / "memory" / "mine"
    group.mkdir(parents=True)
    (kernel / "cgroup").write_text("5:cpu,cpuacct:/\n4:memory:/mine\n0::/\n")
    (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert OomKills().count() == 2


def test_a_kernel_that_does_not_tell_is_no_kill(kernel: Path) -> None:
    (kernel / "vmstat").unlink()
    kills = OomKills()
    assert kills.count() == 0
    assert not kills.claim(0)
