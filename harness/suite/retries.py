"""The suite's `retries:`: how often a run tries a cell again that ended without a result."""

from __future__ import annotations

from pydantic import Field

from harness.records.parts import Status
from harness.suite.section import Section


class Retries(Section):
    """How often a cell that ended so is tried again in one run, after all others. What diverged is not: to try until a
    loss stays finite would choose the results."""

    failed: int = Field(default=0, ge=0, description="cells whose process raised an error or died")
    timeout: int = Field(default=0, ge=0, description="cells that took longer than limits allow")
    oom: int = Field(default=0, ge=0, description="cells that ran out of memory, which on a shared machine others may have taken")

    def of(self, status: Status) -> int:
        """The limit for that outcome; 0 for those that are not tried again."""
        limits: dict[Status, int] = {"failed": self.failed, "timeout": self.timeout, "oom": self.oom}
        return limits.get(status, 0)
