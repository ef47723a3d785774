"""Sweeps over fields of schemes, tuning before quantizing as an axis, and forms: what a plan makes of them."""

from __future__ import annotations

import pytest
from suites_for_tests import Planned, Problems

from harness.cli.plan import plan_as_json
from harness.errors import SuiteError

ORDER = "sweep: {scheme.order: [quantize-then-tune, tune-then-quantize]}"
NF4 = "[none, {id: nf4, scheme: bnb-nf4}]"
AFTERWARDS = "[{id: nf4, scheme: bnb-nf4, order: tune-then-quantize}]"
FORMS = "measure: {{forms: [{}]}}"


def reasons(plan: Planned, extra: str = "", **sections: str) -> list[str | None]:
    return [cell.unsupported for cell in plan(extra, **sections).cells]


def test_order_is_an_axis_of_the_schemes_that_have_it(plan: Planned) -> None:
    cells = plan(ORDER, quantization=NF4, methods="[lora]").cells
    assert [(cell.labels.quantization, cell.labels.sweep) for cell in cells] == [
        ("none", {}), ("nf4", {"scheme.order": "quantize-then-tune"}), ("nf4", {"scheme.order": "tune-then-quantize"}),
    ]  # fmt: skip
    assert [cell.config.scheme.after_tuning for cell in cells] == [False, False, True]
    assert str(cells[2].labels) == "random-opt-125m / nf4 / lora / wikitext2 / seed 0 / scheme.order=tune-then-quantize"


def test_any_field_of_a_scheme_can_be_swept_and_keeps_what_its_entry_gives(plan: Planned) -> None:
    found = plan("sweep: {scheme.double_quant: [false, true]}", quantization="[{scheme: bnb-nf4, compute_dtype: bfloat16}]", methods="[lora]").cells
    assert [cell.config.scheme.double_quant for cell in found] == [False, True]
    assert {cell.config.scheme.compute_dtype for cell in found} == {"bfloat16"}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{scheme.ordr: [1]}", "nothing in this suite has that field; did you mean scheme.order?"),
        ("{scheme.order: [never]}", "sweep.scheme.order[0]: expected quantize-then-tune or tune-then-quantize"),
        ("{scheme.scheme: [none]}", "nothing in this suite has that field"),
        ("{scheme.threshold: [-1]}", "sweep.scheme.threshold[0]: expected at least 0"),
    ],
)
def test_a_mistake_in_a_sweep_over_schemes_is_named(problems: Problems, sweep: str, message: str) -> None:
    (found,) = problems(f"sweep: {sweep}", quantization="[none, bnb-int8]")
    assert message in found


def test_two_swept_schemes_that_are_one_are_refused(plan: Planned) -> None:
    with pytest.raises(SuiteError, match=r"the same work"):
        plan("sweep: {scheme.double_quant: [false, true]}", quantization="[bnb-nf4, {id: again, scheme: bnb-nf4}]", methods="[lora]")


def test_where_and_exclude_know_the_axis(plan: Planned) -> None:
    extra = f"{ORDER}\nexclude: [{{scheme.order: tune-*, method: lora}}]"
    assert len(plan(extra, quantization=NF4, methods="[lora]").cells) == 2


def test_the_usual_order_and_the_usual_form_leave_ids_alone(plan: Planned) -> None:
    def ids(extra: str = "", **sections: str) -> list[str]:
        return [cell.id for cell in plan(extra, **({"methods": "[lora]", "quantization": "[bnb-nf4]"} | sections)).cells]

    usual = ids()
    assert ids(quantization="[{scheme: bnb-nf4, order: quantize-then-tune}]") == usual
    assert ids(FORMS.format("unmerged")) == usual
    assert ids(quantization=AFTERWARDS) != usual
    assert ids(FORMS.format("unmerged, merged")) != usual
    assert ids(FORMS.format("merged, unmerged, merged")) == ids(FORMS.format("unmerged, merged"))


def test_before_tuning_an_unquantized_model_is_shared_with_cells_that_never_quantize(plan: Planned) -> None:
    found = plan(ORDER, quantization="[none, bnb-nf4, bnb-int8]", methods="[lora]")
    ids = {(cell.labels.quantization, cell.config.scheme.after_tuning): cell.untuned_ids for cell in found.cells}
    assert ids["none", False] == ids["bnb-nf4", True] == ids["bnb-int8", True]
    assert len(set(ids.values())) == 3, "those that are quantized before have their own"
    (shared,) = found.shared
    assert "none, bnb-nf4, bnb-int8" in shared.labels


def test_tuning_first_takes_a_method_that_tunes_and_merges(plan: Planned) -> None:
    found = reasons(plan, quantization=AFTERWARDS, methods="[none, full, lora, prompt-tuning]", models="[random:tiny-llama]")
    assert found == [
        "order: tune-then-quantize needs a method that tunes, and none tunes nothing",
        None,
        None,
        "order: tune-then-quantize quantizes what was tuned and merged, and prompt-tuning cannot be merged into the base weights",
    ]


@pytest.mark.parametrize(
    ("forms", "scheme", "method", "reason"),
    [
        ("merged", "bnb-nf4", "lora", None),
        ("unmerged, merged", "bnb-nf4", "prompt-tuning", None),
        ("merged", "bnb-nf4", "prompt-tuning", "merged: prompt-tuning cannot be merged into the base weights"),
        ("merged-requantized", "none", "lora", "merged-requantized: scheme none quantizes nothing, so nothing can be quantized again"),
        ("merged, merged-requantized", "none", "lora", None),
        ("merged, merged-requantized", "bnb-nf4", "none", None),
        ("merged", "{scheme: bnb-nf4, order: tune-then-quantize}", "lora", None),
    ],
)
def test_a_cell_without_any_of_the_forms_asked_for_is_unsupported(plan: Planned, forms: str, scheme: str, method: str, reason: str | None) -> None:
    (found,) = reasons(plan, FORMS.format(forms), quantization=f"[{scheme}]", methods=f"[{method}]", models="[random:tiny-llama]")
    assert found == (None if reason is None else f"measure.forms asks for no form that this cell has: {reason}")


def test_a_plan_with_an_order_shows_it(plan: Planned) -> None:
    cells = plan_as_json(plan(ORDER, quantization=NF4, methods="[none, lora]"))["cells"]
    assert [(cell["method"], cell["sweep"].get("scheme.order"), cell["unsupported"] is None) for cell in cells] == [
        ("none", None, True), ("lora", None, True),
        ("none", "quantize-then-tune", True), ("lora", "quantize-then-tune", True),
        ("none", "tune-then-quantize", False), ("lora", "tune-then-quantize", True),
    ]  # fmt: skip
