"""In-context learning: the model stays as it is, and the task's prompt shows it what to do (Brown et al. 2020, arXiv 2005.14165)."""

from __future__ import annotations

from harness.fields import identity
from harness.methods.base import METHODS
from harness.methods.whole import Untuned
from harness.tasks.base import Task


class InContext(Untuned):
    """Tunes nothing: the task is asked with `shots` solved examples before each question."""

    @property
    def shots(self) -> int:
        """Solved examples before each question."""
        raise NotImplementedError

    def adapted(self, task: Task) -> Task:
        """The task with that many examples; raises Unsupported where it asks nothing, or has fewer."""
        return task.with_shots(self.shots)


@METHODS.register("zero-shot")
class ZeroShot(InContext):
    """The bare question, without any example. Trainable parameters: 0."""

    @property
    def shots(self) -> int:
        """None at all."""
        return 0


@METHODS.register("few-shot")
class FewShot(InContext):
    """The question after k solved ones, as GPT-3 was measured (arXiv 2005.14165, sec. 2). Trainable parameters: 0."""

    k: int = identity(5, ge=1, description="solved examples before each question")

    @property
    def shots(self) -> int:
        """k of them."""
        return self.k
