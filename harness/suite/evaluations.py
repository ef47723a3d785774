"""What a cell is evaluated on: its own task, others in its place (`evaluate`), and others beside it (`also`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import SerializeAsAny

from harness.fields import Config, identity, runtime
from harness.needs import ModelFacts
from harness.tasks.base import Task


class Evaluation(Config):
    """A task that a cell is evaluated on without being trained on it. id: its label; beside: whether it was listed under `also`."""

    id: str = runtime(description="the evaluation's name in tables: `accuracy@<id>`")
    beside: bool = runtime(False, description="listed under `also`: a score that tuning may cost")
    task: SerializeAsAny[Task] = identity(description="the task evaluated")


class Evaluations(Config):
    """own: whether the task that is trained on is evaluated too. others: further ones, in the order of the suite."""

    own: bool = identity(True, description="whether the task itself is evaluated")
    others: tuple[Evaluation, ...] = identity((), description="what else is evaluated, before training and after it")

    def of(self, task: Task) -> Iterator[tuple[str | None, Task]]:
        """(label, task) of every evaluation of a cell with that task, its own first, under None."""
        if self.own:
            yield None, task
        for other in self.others:
            yield other.id, other.task

    def adapted(self, asked: Callable[[Task], Task]) -> Evaluations:
        """With what stands in the task's place as `asked` makes it; itself where that changes nothing."""
        others = tuple(other if other.beside else other.model_copy(update={"task": asked(other.task)}) for other in self.others)
        return self if all(new.task is old.task for new, old in zip(others, self.others, strict=True)) else self.model_copy(update={"others": others})

    def unsupported(self, task: Task, facts: ModelFacts | None) -> str | None:
        """Why one of the others cannot be done with the model as the task needs it, or None."""
        for other in self.others:
            reason = other.task.unsupported(facts, False)
            if reason is not None:
                return f"evaluation {other.id}: {reason}"
            if facts is not None and other.task.head(facts) != task.head(facts):
                have, want = task.head(facts), other.task.head(facts)
                return f"evaluation {other.id} needs the head {want}, and the task {task.task} gives the model the head {have}"
        return None


OWN = Evaluations()


def written(evaluations: Evaluations) -> dict[str, Any]:
    """The keys of the suite file that say so."""
    keys: dict[str, Any] = {} if evaluations.own else {"evaluate": []}
    for other in evaluations.others:
        keys.setdefault("also" if other.beside else "evaluate", []).append({"id": other.id} | other.task.model_dump(mode="json", exclude_unset=True))
    return keys
