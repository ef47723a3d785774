"""The cross of a suite's axes: every cell once, in the order in which cells run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from harness.methods.base import Method
from harness.models.base import ModelConfig
from harness.quantization.base import Scheme
from harness.suite.cell import Cell, CellConfig, Labels
from harness.suite.check import Checked
from harness.suite.choosing import unchoosable
from harness.suite.exclude import Exclusions
from harness.suite.forms import formless
from harness.suite.identity import Identities, canonical, cell_id, untuned_id
from harness.suite.latency import untimeable
from harness.suite.schema import Entry, Suite
from harness.suite.settings import TrainSettings
from harness.suite.sizes import Sizes
from harness.suite.support import Support
from harness.suite.sweep import Variant, train_points
from harness.tasks.base import Task


class Cross:
    """Makes the cells of one suite. Equal training settings are one object, so that each is validated and hashed once."""

    def __init__(self, suite: Suite, checked: Checked, support: Support, identities: Identities, sizes: Sizes) -> None:
        self._suite, self._checked, self._support, self._identities, self._sizes = suite, checked, support, identities, sizes
        self._points = {tunes: train_points(suite.sweep, tunes) for tunes in (False, True)}
        self._settings: dict[tuple[int, int, int, bool, int], TrainSettings] = {}
        self._distinct: dict[str, TrainSettings] = {}
        self._suite_train = suite.train.model_dump(exclude_unset=True)

    def cells(self, exclusions: Exclusions) -> Iterator[Cell]:
        """All cells that are not excluded: by model, scheme and task, within these first what does not train."""
        methods = sorted(self._checked.methods, key=lambda variant: variant.config.tunes)
        models = list(enumerate(self._suite.models))
        for (at, model), scheme, task, method in product(models, self._checked.schemes, self._checked.tasks, methods):
            swept_points = list(enumerate(self._points[method.config.tunes]))
            for seed, (number, point) in product(self._suite.seeds, swept_points):
                swept = scheme.swept | method.swept | task.swept | point
                labels = Labels(
                    model.id, scheme.entry.id, method.entry.id, task.entry.id, seed,
                    {key: swept[key] for key in self._suite.sweep if key in swept},
                )  # fmt: skip
                if not exclusions.excludes(labels):
                    yield self._cell(at, scheme, method, task, number, point, labels)

    def _cell(
        self, model_at: int, scheme: Variant[Scheme], method: Variant[Method], task: Variant[Task],
        number: int, point: dict[str, Any], labels: Labels,
    ) -> Cell:  # fmt: skip
        model: Entry[ModelConfig] = self._suite.models[model_at]
        key = (model_at, method.index, task.index, method.config.tunes, number)
        if key not in self._settings:
            self._settings[key] = self._merged(model, method.entry, task.entry, point)
        suite, facts = self._suite, self._checked.facts[model_at]
        asked, evaluations, unasked = self._support.adapted(method.config, task.config, task.entry.evaluations)
        config = CellConfig(model.config, scheme.config, method.config, asked, self._settings[key], suite.measure, suite.limits, evaluations, suite.deterministic)
        reason = self._support.reason(facts, scheme.config, method.config, asked, evaluations) or unasked or formless(config) or unchoosable(config)
        chosen, unreachable = self._sizes.fit(model.config, facts, scheme.config, method.config, asked) if reason is None else (None, None)
        reason = reason or unreachable or untimeable(config, facts, chosen)
        head_is_random = reason is not None or self._support.random_head(facts, asked)
        seed = labels.seed if head_is_random else None
        return Cell(
            id=cell_id(config, labels.seed, self._identities), suite=suite.name, profile=suite.profile, labels=labels,
            config=config, untuned_ids=tuple(untuned_id(config, each, seed, self._identities) for _, each in config.evaluated),
            model_facts=facts, chosen=chosen, unsupported=reason,
        )  # fmt: skip

    def _merged(self, *parts: Any) -> TrainSettings:
        """The suite's settings, under the model's, under the method's, under the task's, under the swept ones."""
        *entries, point = parts
        values = dict(self._suite_train)
        for entry in entries:
            values |= entry.train.model_dump(exclude_unset=True)
        values |= {name.removeprefix("train."): value for name, value in point.items()}
        text = canonical(values)
        if text not in self._distinct:
            self._distinct[text] = TrainSettings.model_validate(values)
        return self._distinct[text]
