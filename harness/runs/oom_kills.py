"""Whether the kernel's out-of-memory killer was at work: it leaves a SIGKILL and a count, and nothing else."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")
CGROUP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


class OomKills:
    """The kernel's count of processes that it killed for memory: of our cgroup, or of the machine where that has none."""

    def __init__(self) -> None:
        self._source = next((path for path in (*_cgroup_files(), VMSTAT) if _read(path) is not None), None)
        self._claimed = 0

    def count(self) -> int:
        """Kills up to now; 0 where the kernel does not tell."""
        return (_read(self._source) or 0) if self._source else 0

    def claim(self, since: int) -> bool:
        """Whether the count has risen over `since` by a kill that no other process has claimed yet; claims it."""
        before = max(since, self._claimed)
        if self.count() <= before:
            return False
        self._claimed = before + 1
        return True


def _cgroup_files() -> list[Path]:
    """memory.events of cgroup 2 and memory.oom_control of cgroup 1; in a container the cgroup is its own root."""
    if not CGROUP.exists():
        return []
    files: list[Path] = []
    for line in CGROUP.read_text().splitlines():
        number, controllers, place = line.split(":", 2)
        if number == "0":
            files += [root / place.lstrip("/") / "memory.events" for root in (MOUNT, MOUNT / "unified")]
        elif "memory" in controllers.split(","):
            files += [MOUNT / "memory" / place.lstrip("/") / "memory.oom_control", MOUNT / "memory" / "memory.oom_control"]
    return files


def _read(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else None
