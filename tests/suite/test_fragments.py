"""Suites put together: fragments under a suite, profiles over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites_for_tests import Load, Problems

from harness.errors import SuiteError
from harness.suite.load import load_suite


def test_fragments_are_merged_in_order_under_the_suite(load: Load, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("train: {max_steps: 1, learning_rate: 1e-3, warmup_steps: 3}\nseeds: [7]\ntitle: one")
    (tmp_path / "two.yaml").write_text("train: {max_steps: 2, weight_decay: 0.5}\ntitle: two")
    suite = load("defaults: [one.yaml, two.yaml]\ntrain: {learning_rate: 1e-5}", seeds=None)
    assert suite.train.model_dump(exclude_unset=True) == {
        "max_steps": 2, "learning_rate": 1e-5, "warmup_steps": 3.0, "weight_decay": 0.5,
    }  # fmt: skip
    assert (suite.seeds, suite.title) == ([7], "two")


def test_fragments_have_fragments_and_keep_their_own_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "a.yaml").write_text("defaults: [b.yaml]\ntasks: [{id: t, task: glue/rte, data: here}]")
    (tmp_path / "common" / "b.yaml").write_text("title: from b")
    suite = load("defaults: [common/a.yaml]", tasks=None)
    assert suite.title == "from b"
    assert suite.tasks[0].config.data == str(tmp_path / "common" / "here")


def test_a_problem_in_a_fragment_is_placed_in_the_fragment(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("title: x\ntrain: {max_step: 3}")
    assert problems("defaults: [part.yaml]")[0].startswith("part.yaml:2:9: train.max_step: unknown key")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("defaults: [prat.yaml]", "s.yaml:7:12: defaults[0]: there is no file"),
        ("defaults: [prat.yaml]", "did you mean part.yaml?"),
        ("defaults: part.yaml", "s.yaml:7:11: defaults: expected a list of YAML files, found the text 'part.yaml'"),
        ("defaults: [[part.yaml]]", "defaults[0]: expected the name of a YAML file, found a list"),
        ("defaults: [s.yaml]", "defaults[0]: a cycle among files: s.yaml -> s.yaml"),
        ("defaults: [round.yaml]", "round.yaml:1:12: defaults[0]: a cycle among files: s.yaml -> round.yaml -> s.yaml"),
    ],
)
def test_fragments_that_cannot_be_are_named(problems: Problems, tmp_path: Path, extra: str, message: str) -> None:
    (tmp_path / "part.yaml").write_text("title: x")
    (tmp_path / "round.yaml").write_text("defaults: [s.yaml]")
    assert message in problems(extra)[0]


PROFILE = "train: {max_steps: 9, warmup_steps: 2}\nprofiles:\n  smoke: {seeds: [5], methods: [none], train: {max_steps: 1}}\n"


def test_a_profile_merges_mappings_and_replaces_lists(load: Load) -> None:
    suite = load(PROFILE, "smoke", seeds="[0, 1]", methods="[full, lora]")
    assert (suite.seeds, [entry.id for entry in suite.methods]) == ([5], ["none"])
    assert suite.train.model_dump(exclude_unset=True) == {"max_steps": 1, "warmup_steps": 2.0}
    assert suite.profile == "smoke"


def test_without_a_profile_none_is_applied(load: Load) -> None:
    suite = load(PROFILE)
    assert (suite.seeds, suite.profile, suite.train.max_steps) == ([0], None, 9)


def test_a_profile_may_complete_a_suite(load: Load) -> None:
    assert load("profiles: {a: {tasks: [mmlu]}}", "a", tasks=None).tasks[0].id == "mmlu"


def test_an_unknown_profile_names_the_nearest(problems: Problems) -> None:
    assert problems(PROFILE, "smokee") == ["s.yaml:8:1: profiles: there is no profile 'smokee'; did you mean smoke?"]
    assert problems("", "smoke") == ["s.yaml:1:1: profiles: there is no profile 'smoke'; known: none"]


def test_a_typo_in_a_profile_is_found_without_asking_for_it(problems: Problems) -> None:
    assert problems("profiles: {a: {seed: [1]}, b: {tasks: []}}") == [
        "s.yaml:7:16: seed: unknown key; did you mean seeds?",
        "s.yaml:7:32: tasks: an empty axis: there is nothing to run; give at least one entry",
    ]


def test_a_suite_that_cannot_be_opened_is_a_suite_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"gone\.yaml: cannot be read"):
        load_suite(tmp_path / "gone.yaml")
