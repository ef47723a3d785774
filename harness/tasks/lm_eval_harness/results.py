"""lm-eval's results as metrics: its names and values, under a protocol id that says which task, version and shots they are of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.quantities import QUANTITIES
from harness.records.schema import Metric
from harness.tasks.lm_eval_harness.documents import split_of

_NO_FILTER = "none"


@dataclass(frozen=True)
class Results:
    """What lm_eval.evaluate gives, and how it was asked.

    found: its EvalResults, with samples. loaded: the TaskDict that was evaluated. name: the task, group or tag. mark: what a
    name gets in protocol ids where it is not lm-eval's own. suffix: of every protocol id. note: tells the record.
    """

    found: Mapping[str, Any]
    loaded: Mapping[str, Any]
    name: str
    mark: Callable[[str], str]
    suffix: str
    note: Callable[[str], None]

    def metrics(self) -> list[Metric]:
        """Every metric of the task; of a group its own first, then those of each member as parts (`acc:mmlu_anatomy`); of a
        tag, which lm-eval takes no mean of, the members' alone."""
        own = [name for name in self.found["results"] if name == self.name]
        members = [name for name in self.found["results"] if name != self.name]
        return [metric for name in own + members for metric in self._metrics_of(name)]

    def _metrics_of(self, name: str) -> Iterator[Metric]:
        """lm-eval's keys are `<metric>,<filter>` and `<metric>_stderr,<filter>`."""
        values = self.found["results"][name]
        for key, value in values.items():
            metric, comma, filter_ = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            parts = ([filter_] if filter_ != _NO_FILTER else []) + ([name] if name != self.name else [])
            address = ":".join([metric, *parts])
            error = _finite(values.get(f"{metric}_stderr,{filter_}"))
            scale = self._scale(name, metric)
            yield Metric(
                name=address,
                value=self._number(address, value, scale),
                stderr=None if error is None else error * scale,
                n=self._count(name, key),
                items=self._items(name, metric, filter_, value),
                higher_is_better=self._higher_is_better(name, metric),
                split=self._split(name),
                protocol=f"lm-eval/{self.mark(name)}/{self._version(name)}/{self._shots(name)}shot{self.suffix}",
            )

    def _number(self, address: str, value: Any, scale: float) -> float | None:
        number = _finite(value)
        if number is None:
            self.note(f"lm-eval gives {address} as {str(value)[:60]}, which is no number")
            return None
        if _is_share(address.partition(":")[0]) and abs(number * scale) > 1:
            self.note(f"lm-eval gives {address} as {number:.4g}; kept as it is, though this name is of a share, which tables print in points of a hundred")
        return number * scale

    def _scale(self, name: str, metric: str) -> float:
        """What a value is multiplied by to be in our unit: lm-eval takes BLEU with sacrebleu, in points of a hundred."""
        from lm_eval.api.metrics import bleu

        return 0.01 if _is_share(metric) and any(task.aggregation().get(metric) is bleu for task in self._tasks_of(name)) else 1.0

    def _tasks_of(self, name: str) -> list[Any]:
        tasks, groups = self.loaded["tasks"], self.loaded.get("groups", {})
        return [tasks[name]] if name in tasks else list(groups[name].get_all_tasks())

    def _count(self, name: str, key: str) -> int | None:
        if name in self.found["n-samples"]:
            return int(self.found["n-samples"][name]["effective"])
        count = self.found["results"][name].get("sample_count", {}).get(key)
        return None if count is None else int(count)

    def _items(self, name: str, metric: str, filter_: str, value: Any) -> list[float] | None:
        """Each document's share, of metrics that are a mean over documents; None of others and of groups."""
        samples = self.found["samples"].get(name, ())
        items = [_finite(sample.get(metric)) for sample in samples if sample["filter"] == filter_]
        numbers = [item for item in items if item is not None]
        whole = _finite(value)
        if whole is None or not numbers or len(numbers) < len(items):
            return None
        return numbers if math.isclose(sum(numbers) / len(numbers), whole, rel_tol=1e-9, abs_tol=1e-12) else None

    def _higher_is_better(self, name: str, metric: str) -> bool:
        """As the task says; where it does not, as our table of quantities does."""
        said = self.found["higher_is_better"].get(name, {}).get(metric)
        if isinstance(said, bool):
            return said
        known = QUANTITIES.get(metric)
        if known is not None and known.higher_is_better is not None:
            return known.higher_is_better
        self.note(f"lm-eval does not say whether a higher {metric} is better; taken to be so")
        return True

    def _split(self, name: str) -> str:
        return "+".join(sorted({split_of(task) for task in self._tasks_of(name)}))

    def _version(self, name: str) -> str:
        version = self.found["versions"].get(name)
        return "unversioned" if version in (None, "N/A", "Yaml") else str(version)

    def _shots(self, name: str) -> str:
        """A group has a number where all its members have the same."""
        shots = self.found["n-shot"].get(name)
        return "mixed-" if shots is None else str(shots)


def _is_share(metric: str) -> bool:
    return metric in QUANTITIES and QUANTITIES[metric].style == "share"


def _finite(value: Any) -> float | None:
    """The number, None for what is none or is not finite (lm-eval writes N/A where it has no standard error)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
