"""Methods and schemes laid against the sizes of a suite's models before anything runs: what budgets choose, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TypeAlias

from harness.errors import Unsupported
from harness.methods.base import Method
from harness.methods.budget import Chosen
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.skeletons import anatomies
from harness.needs import ModelFacts
from harness.quantization.base import Scheme
from harness.suite.check import Checked
from harness.suite.schema import Suite
from harness.suite.support import Support
from harness.tasks.base import Head, Task

Body: TypeAlias = tuple[str, Head]  # a model's identity and the head that it gets


class Sizes:
    """What fits. Anatomies are asked for once, all together: the first time that takes seconds."""

    def __init__(self, suite: Suite, checked: Checked, support: Support, cache: Path) -> None:
        wanted = {_body(model, head): (model, head) for model, head in _measured(suite, checked, support)}
        found = anatomies(list(wanted.values()), cache) if wanted else []
        self._anatomies: dict[Body, Anatomy | str | None] = dict(zip(wanted, found, strict=True))
        self._fits: dict[tuple[int, int, int, int], tuple[Chosen | None, str | None]] = {}

    def fit(
        self, model: ModelConfig, facts: ModelFacts | None, scheme: Scheme, method: Method, task: Task
    ) -> tuple[Chosen | None, str | None]:
        """The size that the method's budget chooses, None without one, and the reason where the method or the scheme does not fit the model.

        Both None for a hub model that has not been downloaded yet: the cell itself finds out.
        """
        if facts is None or not (method.tunes or _has_sizes(scheme)):
            return None, None
        key = (id(model), id(scheme), id(method), id(task))  # the suite keeps them alive, so that their id() stays their own
        if key not in self._fits:
            anatomy = self._anatomies.get(_body(model, task.head(facts)))
            if anatomy is None or isinstance(anatomy, str):
                self._fits[key] = None, anatomy if method.tunes else None
            elif not method.tunes:
                self._fits[key] = None, scheme.unfit(anatomy)
            else:
                self._fits[key] = _solve(method, anatomy, facts, scheme)
        return self._fits[key]


def _body(model: ModelConfig, head: Head) -> Body:
    return model.model_dump_json(), head


def _solve(method: Method, anatomy: Anatomy, facts: ModelFacts, scheme: Scheme) -> tuple[Chosen | None, str | None]:
    try:
        solved, chosen = method.solved(anatomy)
    except Unsupported as reason:
        return None, str(reason)
    except NotImplementedError:
        return None, f"{method.method} has no formula for its parameters with these fields, so that no budget can choose its size"
    try:
        with suppress(NotImplementedError):  # what has no formula is attached without being counted
            solved.count(anatomy)
    except Unsupported as reason:
        return None, str(reason)
    return chosen, scheme.unfit(anatomy) or solved.unsupported(facts, scheme.while_tuning)  # a prompt of the chosen length may not fit the context


def _has_sizes(scheme: Scheme) -> bool:
    """Whether a model's sizes can keep the scheme from storing it."""
    return type(scheme).unfit is not Scheme.unfit


def _measured(suite: Suite, checked: Checked, support: Support) -> Iterator[tuple[ModelConfig, Head]]:
    """Every model with every head whose sizes matter to the method or the scheme of a cell, where nothing else keeps it from running."""
    methods = [variant.config for variant in checked.methods]
    models = zip(suite.models, checked.facts, strict=True)
    for (model, facts), scheme, method, task in product(models, checked.schemes, methods, checked.tasks):
        if not (method.tunes or _has_sizes(scheme.config)):
            continue
        if facts is not None and support.reason(facts, scheme.config, method, task.config, task.entry.evaluations) is None:
            yield model.config, task.config.head(facts)
