"""Which questions were answered right -> MMLU's accuracies: of all questions, of subjects, of categories."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.tasks.statistics import proportion_stderr


@dataclass(frozen=True)
class Accuracy:
    """A share of questions with its standard error. items: 1 or 0 for each question, where the share is over all."""

    name: str
    value: float
    stderr: float
    n: int
    items: list[float] | None = None


def accuracies(name: str, subjects: Sequence[str], right: Sequence[bool], categories: Mapping[str, Sequence[str]]) -> Iterator[Accuracy]:
    """All questions (micro), the mean over subjects (macro), the categories that have questions here, and every subject.

    Standard errors: sqrt(p (1 - p) / n); of the mean over subjects the root of the sum of their squared errors, over their number.
    """
    answered: dict[str, list[bool]] = {subject: [] for subject in sorted(set(subjects))}
    for subject, each in zip(subjects, right, strict=True):
        answered[subject].append(each)
    by_subject = [_share(f"{name}:{subject}", found) for subject, found in answered.items()]
    micro = _share(name, right)
    yield Accuracy(micro.name, micro.value, micro.stderr, micro.n, [float(each) for each in right])
    error = math.sqrt(sum(share.stderr**2 for share in by_subject)) / len(by_subject)
    yield Accuracy(f"{name}_macro", sum(share.value for share in by_subject) / len(by_subject), error, len(right))
    for category, members in categories.items():
        found = [each for subject in members for each in answered.get(subject, [])]
        if found:
            yield _share(f"{name}:category-{category}", found)
    yield from by_subject


def _share(name: str, right: Sequence[bool]) -> Accuracy:
    share = sum(right) / len(right)
    return Accuracy(name, share, proportion_stderr(share, len(right)), len(right))
