"""Why a cell cannot run on this machine, asked of its parts before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from harness.errors import Unsupported
from harness.fields import Config
from harness.methods.base import Method
from harness.needs import Machine, ModelFacts, Needs
from harness.quantization.base import Scheme, StoredScheme
from harness.suite.evaluations import Evaluations
from harness.suite.forms import untimely
from harness.tasks.base import Task

R = TypeVar("R")


class Support:
    """The reasons on one machine; every question is asked once."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._unmet_needs: dict[tuple[Needs, ModelFacts | None], str | None] = {}
        self._answers: dict[tuple[Any, ...], Any] = {}
        self._asked: list[Any] = []  # keeps what was asked alive, so that its id() stays its own

    def reason(self, facts: ModelFacts | None, scheme: Scheme, method: Method, task: Task, evaluations: Evaluations) -> str | None:
        """The first reason why not, or None: what the machine lacks, then scheme, method, task and evaluations in this order."""
        evaluated = [(other.task.task, other.task.needs) for other in evaluations.others]
        for name, needs in ((scheme.scheme, scheme.needed()), (method.method, method.needs), (task.task, task.needs), *evaluated):
            unmet = self._unmet(needs, facts)
            if unmet is not None:
                return f"{name} {unmet}"
        nothing = f"{task.task} has nothing to train on; evaluate it with the method none"
        return (
            self._once(lambda: scheme.unsupported(facts), "scheme", facts, scheme)
            or self._once(lambda: untimely(scheme, method) or method.unsupported(facts, scheme.while_tuning), "method", facts, scheme, method)
            or (nothing if method.tunes and not task.trainable else None)
            or self._once(lambda: task.unsupported(facts, method.tunes), "task", facts, task, also=method.tunes)
            or self._once(lambda: evaluations.unsupported(task, facts), "evaluations", facts, task, evaluations)
            or (self._once(lambda: _uncalibrated(scheme, task, facts), "calibration", facts, scheme, task) if _on_task(scheme) else None)
        )

    def adapted(self, method: Method, task: Task, evaluations: Evaluations) -> tuple[Task, Evaluations, str | None]:
        """What is evaluated as the method does it (what is listed under `also` stays as it is); with the reason, and unchanged,
        where the method cannot do it."""

        def ask() -> tuple[Task, Evaluations, str | None]:
            try:
                own = method.adapted(task) if evaluations.own else task
                return own, evaluations.adapted(method.adapted), None
            except Unsupported as reason:
                return task, evaluations, str(reason)

        return self._once(ask, "adapted", None, method, task, evaluations)

    def random_head(self, facts: ModelFacts | None, task: Task) -> bool:
        """Whether the model gets a freshly initialised head for the task; assumed where the model is not known."""
        if facts is None:
            return True
        return self._once(lambda: task.head(facts).new, "head", facts, task)

    def _unmet(self, needs: Needs, facts: ModelFacts | None) -> str | None:
        key = (needs, facts)
        if key not in self._unmet_needs:
            self._unmet_needs[key] = needs.unmet(self._machine, facts)
        return self._unmet_needs[key]

    def _once(self, ask: Callable[[], R], what: str, facts: ModelFacts | None, *parts: Config, also: bool = False) -> R:
        key = (what, facts, also, *(id(part) for part in parts))
        if key not in self._answers:
            self._asked.append(parts)
            self._answers[key] = ask()
        answer: R = self._answers[key]
        return answer


def _on_task(scheme: Scheme) -> bool:
    """Whether the scheme is calibrated on the task's own training split."""
    return isinstance(scheme, StoredScheme) and scheme.calibrated_on is not None and scheme.calibrated_on.set == "task"


def _uncalibrated(scheme: Scheme, task: Task, facts: ModelFacts | None) -> str | None:
    """Why the task has no training split for that, or None."""
    reason = task.unsupported(facts, True) if task.trainable else f"{task.task} has none"
    return f"{scheme.scheme} is calibrated on the task's own training split: {reason}" if reason else None
