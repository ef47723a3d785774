"""Whatever stands in a suite file: it loads, or every problem is said with its place. Never another exception."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.needs import Machine
from harness.suite.load import load_suite
from harness.suite.plan import make_plan
from harness.suite.scalars import SuiteDumper

WHOLE: dict[str, Any] = {
    "name": "any", "title": "t", "references": ["qlora"], "models": ["random:opt-125m", {"id": "m", "source": "hub:a/b", "dtype": "auto"}],
    "quantization": ["none", {"id": "nf4", "scheme": "bnb-nf4", "double_quant": True}],
    "methods": ["none", {"id": "l", "method": "lora", "r": 8, "train": {"learning_rate": 1e-3}}],
    "tasks": ["wikitext2", {"task": "glue/rte", "max_train_samples": 5}], "seeds": [0, 1],
    "sweep": {"train.max_steps": [1, 2], "method.r": [2, 4]}, "train": {"max_length": 8, "adam_beta1": 0.8},
    "measure": {"latency": {"batch_sizes": [1]}}, "limits": {"phase_seconds": {"train": 3}},
    "exclude": [{"method": "l", "quantization": ["n*"]}], "profiles": {"p": {"seeds": [3]}},
    "report": {"tables": [{"rows": ["method"], "metric": "accuracy"}], "plots": [{"x": "timing.total", "y": "f1"}]},
    "claims": [{"id": "c", "source": "s", "left": {"metric": "f1", "where": {"seed": 0}}, "relation": "<", "right": 3}],
}  # fmt: skip

junk = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(allow_nan=False), st.text(max_size=6),
    st.sampled_from(["none", "lora", "all-linear", "1e-4", "..", "hub:", "path:x", "accuracy", "train.seed", "*"]),
    st.just([]), st.just({}), st.just([None]), st.just({"id": None}), st.just({"a": {"b": []}}), st.lists(st.integers(0, 3), max_size=2),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in below for place in places(each, (*path, key)))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_suite_with_anything_anywhere_loads_or_says_what_is_wrong(data: st.DataObject, tmp_path: Path) -> None:
    suite = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(places(suite)[1:]))
        parent: Any = suite
        for step in above:
            parent = parent[step]
        if isinstance(parent, dict) and data.draw(st.booleans()):
            parent[data.draw(st.text(max_size=4) | st.sampled_from(["id", "train", "method", "<<", "metric"]))] = parent.pop(last)
        else:
            parent[last] = copy.deepcopy(data.draw(junk))
    path = tmp_path / "s.yaml"
    path.write_text(yaml.dump(suite, Dumper=SuiteDumper, allow_unicode=True), encoding="utf-8")
    problems = None
    try:
        make_plan(load_suite(path), Machine())
    except SuiteError as error:
        problems = error.problems
    assert problems != []
    assert all(problem.line and problem.column and problem.message for problem in problems or ())


def test_the_suite_that_is_spoilt_is_sound_before(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.dump(WHOLE, Dumper=SuiteDumper))
    assert make_plan(load_suite(path), Machine()).problems == []
    with pytest.raises(SuiteError):
        load_suite(path, "q")
