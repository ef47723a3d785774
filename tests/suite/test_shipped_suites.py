"""Every shipped suite: what a reader is told of it, that its smoke profile is small, and that its plan refuses nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.needs import Machine
from harness.suite.find import shipped_suites
from harness.suite.load import load_suite
from harness.suite.plan import make_plan

SUITES = sorted(path.stem for path in shipped_suites().glob("*.yaml"))
PAPERS = (  # those that put a paper's comparison on real models; a smoke profile each
    "adalora_glue", "adalora_squad", "adapters_glue", "awq_vs_gptq", "chatglm3_qlora", "forgetting", "glm_int4", "ia3_tfew", "int8_at_scale", "lora_e2e",
    "lora_glue", "lora_rank_and_targets", "p_tuning_v1_v2", "prefix_tuning", "prompt_tuning_scale", "unipelt_low_resource",
)  # fmt: skip
ON_ANY_MACHINE = ("quickstart", "compatibility")  # micro models only


def suite_file(name: str) -> Path:
    return shipped_suites() / f"{name}.yaml"


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_has_its_files_name_and_says_what_it_asks(name: str) -> None:
    suite = load_suite(suite_file(name))
    assert suite.name == name
    assert suite.title


@pytest.mark.parametrize("name", [name for name in SUITES if name not in ON_ANY_MACHINE])
def test_a_suite_says_what_it_needs_and_how_long_it_may_take(name: str) -> None:
    text = suite_file(name).read_text(encoding="utf-8")
    header = " ".join(line.removeprefix("#").strip() for line in text.partition("\nname:")[0].splitlines())
    assert "Needs " in header
    assert re.search(r"[0-9] GB", header)
    assert re.search(r"stimated, not measured: [^.]*(minute|hour|day)", header)
    assert load_suite(suite_file(name)).description


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_suite_says_where_its_claims_are_from(name: str) -> None:
    suite = load_suite(suite_file(name))
    assert suite.references
    assert len(suite.claims) >= 5
    assert all(claim.source for claim in suite.claims)


@pytest.mark.parametrize("name", PAPERS)
def test_a_smoke_profile_is_small_and_runs_whole(name: str) -> None:
    suite = load_suite(suite_file(name), "smoke")
    cells = make_plan(suite, Machine()).cells
    assert 0 < len(cells) <= 8
    assert [cell.unsupported for cell in cells if cell.unsupported] == []
    for cell in cells:
        assert cell.config.model.source.startswith("micro:")
        assert not cell.config.method.tunes or cell.config.train.max_steps <= 4
        assert all((task.max_eval_samples or 0) <= 32 for _, task in cell.config.evaluated)
        assert all(task.max_eval_samples is not None for _, task in cell.config.evaluated)
