"""What papers call a cell's scheme, and the numbers that stand beside it for that."""

from __future__ import annotations

from typing import Any

import pytest
from record_factory import record

from harness.analysis.columns import row
from harness.analysis.reference_files import reference_table
from harness.analysis.references import fitting
from harness.analysis.scheme_names import scheme_names


def opt(scheme: str, model: str = "opt-1.3b", **fields: Any) -> Any:
    """A cell of OPT on WikiText-2 under that scheme."""
    config = {"scheme": {"scheme": scheme, **fields}, "task": {"task": "wikitext2", "data": "hub"}}
    return row(record(model=model, source=f"hub:facebook/{model}", task="wikitext2", method="none", config=config))


@pytest.mark.parametrize(
    ("scheme", "fields", "name"),
    [
        ("gptq-4bit", {"group_size": -1}, "gptq-4bit"),
        ("gptq-3bit", {"group_size": 128}, "gptq-3bit-g128"),
        ("gptq-3bit", {"group_size": 128, "desc_act": True}, "gptq-3bit-g128-reorder"),
        ("rtn-4bit", {"group_size": 128}, "rtn-4bit-g128"),
        ("bnb-nf4", {"double_quant": True}, "bnb-nf4-dq"),
        ("bnb-nf4-dq", {"double_quant": True}, "nf4-dq"),
        ("simulated", {"data_type": "fp4-e2m1", "group_size": 64}, "fp4-e2m1"),
        ("simulated", {"data_type": "nf4", "double_quant": True}, "nf4-dq"),
        ("simulated", {"data_type": "int3", "group_size": 128}, "rtn-3bit-g128"),
        ("simulated", {"data_type": "int3", "salient": {"percent": 1.0, "select": "activation"}}, "salient"),
    ],
)
def test_a_scheme_goes_by_the_name_that_papers_give_it(scheme: str, fields: dict[str, Any], name: str) -> None:
    assert name in scheme_names(opt(scheme, **fields))


def test_a_grid_whose_channels_are_kept_is_not_the_grid() -> None:
    salient = {"percent": 1.0, "select": "activation"}
    assert scheme_names(opt("simulated", data_type="int3", group_size=128, salient=salient)) == {"salient"}


def test_a_grid_whose_scales_were_searched_is_awqs_and_no_rounding() -> None:
    searched = opt("simulated", data_type="int3", group_size=128, scaling_search={"tokens": 512})
    assert scheme_names(searched) == {"awq-3bit-g128"}
    _, table = reference_table("awq.table1_salient")
    assert not list(fitting(table, "perplexity", [searched]))
    assert not scheme_names(opt("simulated", data_type="nf4", group_size=64, scaling_search={"tokens": 512}))


def test_gptqs_own_numbers_stand_beside_cells_without_groups_only() -> None:
    _, table = reference_table("gptq.opt_wikitext2")
    as_there = {"set": "c4", "samples": 128}
    assert [found.value for found in fitting(table, "perplexity", [opt("gptq-3bit", group_size=-1, calibration=as_there)])] == [20.97]
    assert not list(fitting(table, "perplexity", [opt("gptq-3bit", group_size=-1, calibration={"set": "texts", "samples": 128})]))
    assert not list(fitting(table, "perplexity", [opt("gptq-3bit", group_size=128)]))


@pytest.mark.parametrize(("select", "percent", "value"), [("activation", 1, 16.91), ("activation", 3.0, 16.68), ("weight", 1.0, 98.55)])
def test_which_channels_are_kept_and_how_many_places_a_number_of_awq(select: str, percent: float, value: float) -> None:
    _, table = reference_table("awq.table1_salient")
    cell = opt("simulated", data_type="int3", group_size=128, salient={"select": select, "percent": percent})
    assert [found.value for found in fitting(table, "perplexity", [cell])] == [value]
