"""The compatibility map in a plan: what it objects to, once for each pair, and what it has no opinion of."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from suites_for_tests import Planned

from harness.methods.base import METHODS
from harness.methods.peft_fields import peft_types
from harness.suite.compatibility import CompatibilityMap, known_trouble
from harness.suite.load import load_suite

ROOT = Path(__file__).parents[2]
PROBE = ROOT / "suites" / "compatibility.yaml"

METHODS_TRIED = {
    "lora": {"method": "lora", "r": 4},
    "dora": {"method": "lora", "r": 4, "use_dora": True},
    "lora-plus": {"method": "lora", "r": 4, "loraplus_lr_ratio": 16},
    "ia3": {"method": "ia3"},
    "t-few": {"method": "ia3", "losses": ["lm", "unlikelihood"]},
    "oft": {"method": "peft", "peft_type": "OFT"},
}


def finding(method: str, verdict: str = "silently wrong", checks: list[str] | None = None, **pairs: list[str]) -> dict[str, Any]:
    return {"method": method, "verdict": verdict, "checks": checks or ["merges"], "reason": f"{method} is off", "pairs": pairs}


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """ship(*findings, **fields): a map with these is the shipped one until the test ends."""

    def write(*findings: dict[str, Any], **fields: Any) -> None:
        here = {name: version(name) for name in ("torch", "peft")}
        values = {"made": "2025-01-01", "device": "cpu", "versions": here, "schemes": [], "methods": METHODS_TRIED, "findings": findings}
        file = tmp_path / f"map-{len(list(tmp_path.iterdir()))}.json"
        file.write_text(json.dumps(values | fields))
        monkeypatch.setattr("harness.suite.compatibility.MAP", file)

    return write


def warnings(plan: Planned, extra: str = "", **sections: str) -> list[str]:
    return [str(problem).partition(": ")[2] for problem in plan(extra, **sections).problems]


def test_a_wrong_pair_is_warned_of_once_at_its_method_and_not_for_every_cell(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", opt=["none", "bnb-nf4"]))
    cells = {"quantization": "[none, bnb-int8, bnb-nf4]", "methods": "[full, lora]", "seeds": "[0, 1, 2]"}
    assert warnings(plan, **cells) == [
        f"methods[1]: lora on {scheme} weights of opt models is silently wrong: lora is off (tried on cpu; docs/compatibility.md)"
        for scheme in ("none", "bnb-nf4")
    ]


@pytest.mark.parametrize("verdict", ["works", "unsupported"])
def test_what_works_and_what_is_refused_anyway_is_not_warned_of(verdict: str, plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", verdict, opt=["none"]))
    assert not warnings(plan, methods="[lora]")


def test_other_families_and_a_third_partys_method_are_not_objected_to(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", llama=["none"]), finding("ia3", opt=["none"]))
    assert not warnings(plan, methods="[lora, bitfit]")


@pytest.mark.parametrize(
    ("method", "label"),
    [
        ("{method: lora, r: 64}", "lora"),
        ("{method: lora, use_dora: true, r: 2}", "dora"),
        ("{method: lora, loraplus_lr_ratio: 4}", "lora-plus"),
        ("ia3", "ia3"),
        ("{method: ia3, losses: [lm, unlikelihood]}", "t-few"),
        ("{method: peft, peft_type: OFT, r: 4}", "oft"),
        ("{method: peft, peft_type: HRA}", None),
    ],
)
def test_a_method_is_known_by_its_kind_and_not_by_its_sizes(method: str, label: str | None, plan: Planned, ship: Callable[..., None]) -> None:
    ship(*(finding(name, opt=["none"]) for name in METHODS_TRIED))
    found = [line.partition("wrong: ")[2].partition(" is off")[0] for line in warnings(plan, methods=f"[{method}]", tasks="[mmlu]")]
    assert found == ([label] if label else [])


def test_gradient_checkpointing_is_a_matter_of_cells_that_use_it(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", checks=["checkpoints"], opt=["none"]))
    assert not warnings(plan, methods="[lora]")
    assert warnings(plan, "train: {gradient_checkpointing: true}", methods="[lora]")


def test_a_map_of_other_versions_says_so(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", opt=["none"]), versions={"peft": "0.1.0"})
    (line,) = warnings(plan, methods="[lora]")
    assert "with other versions than these here: peft 0.1.0" in line


def test_a_probe_is_not_warned_of_what_it_is_there_to_find_out(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", opt=["none"]))
    assert not warnings(plan, "measure: {probe: true}", methods="[lora]")


def test_a_record_gets_the_same_words(plan: Planned, ship: Callable[..., None]) -> None:
    ship(finding("lora", "broken", opt=["none"]))
    (cell,) = plan(methods="[lora]").cells
    assert "broken: lora is off" in str(known_trouble(cell.config, "opt"))
    assert known_trouble(cell.config, "llama") is None


def test_without_a_map_nothing_is_said(plan: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.suite.compatibility.MAP", tmp_path / "none.json")
    assert not warnings(plan, methods="[lora]")


def test_the_probe_tries_every_method_that_tunes_and_every_type_of_the_installed_peft() -> None:
    tried = [entry.config for entry in load_suite(PROBE).methods]
    assert {name for name, cls in METHODS.items() if cls.tunes} <= {config.method for config in tried}
    own = {getattr(cls, "config_class", None) for _, cls in METHODS.items()}
    types = {kind for kind, (_, config_class) in peft_types().items() if config_class not in own}
    through_peft = {config.peft_type for config in tried if config.method == "peft"}
    assert types - through_peft <= {"MULTITASK_PROMPT_TUNING", "PREFIX_TUNING"}  # methods with classes of our own


def test_the_shipped_map_is_of_the_shipped_probe() -> None:
    found = CompatibilityMap.model_validate_json((ROOT / "harness" / "suite" / "compatibility.json").read_bytes())
    suite = load_suite(PROBE)
    assert found.methods == {entry.id: entry.config.model_dump(mode="json", exclude_unset=True) for entry in suite.methods}
    assert found.schemes == [entry.config.scheme for entry in suite.quantization]
    assert {family for each in found.findings for family in each.pairs} == {entry.id for entry in suite.models}
    assert {each.method for each in found.findings} == {entry.id for entry in suite.methods}
