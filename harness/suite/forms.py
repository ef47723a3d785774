"""In which forms a cell's tuned model is evaluated, and why not in others. Asked by the plan and, again, by the cell."""

from __future__ import annotations

from dataclasses import dataclass

from harness.methods.base import Method
from harness.quantization.base import QuantizingScheme, Scheme
from harness.records.parts import Form
from harness.suite.cell import CellConfig

AS_TRAINED: Form = "unmerged"
QUANTIZED_AGAIN: Form = "merged-requantized"


@dataclass(frozen=True)
class Forms:
    """due: the forms to evaluate, in the order of a cell's life. absent: those that were asked for and cannot be, with the reason."""

    due: tuple[Form, ...]
    absent: dict[Form, str]


def forms_of(config: CellConfig) -> Forms:
    """The forms of `measure.forms` that this cell has; none for a method that tunes nothing.

    A model that is quantized after tuning has one form, the quantized one, whatever was asked for.
    """
    if not config.method.tunes:
        return Forms((), {})
    asked: dict[Form, str | None] = {form: _trouble(form, config.scheme, config.method) for form in config.measure.forms}
    absent = {form: reason for form, reason in asked.items() if reason is not None}
    if config.scheme.after_tuning:
        return Forms((AS_TRAINED,), absent)
    return Forms(tuple(form for form in asked if form not in absent), absent)


def untimely(scheme: Scheme, method: Method) -> str | None:
    """Why a method cannot be tuned before the scheme quantizes, where the scheme's order says so; or None."""
    if not scheme.after_tuning:
        return None
    if not method.tunes:
        return f"order: tune-then-quantize needs a method that tunes, and {method.method} tunes nothing"
    reason = method.unmergeable()
    return None if reason is None else f"order: tune-then-quantize quantizes what was tuned and merged, and {reason}"


def formless(config: CellConfig) -> str | None:
    """Why none of the forms asked for can be evaluated, or None. A cell that tries its method out needs none."""
    if AS_TRAINED in config.measure.forms or not config.method.tunes or config.measure.probe:
        return None
    forms = forms_of(config)
    if forms.due:
        return None
    return f"measure.forms asks for no form that this cell has: {'; '.join(f'{form}: {reason}' for form, reason in forms.absent.items())}"


def _trouble(form: Form, scheme: Scheme, method: Method) -> str | None:
    if form == AS_TRAINED:
        return None
    if scheme.after_tuning:
        return "a model that is quantized after tuning is merged before that, and has one form"
    if form == QUANTIZED_AGAIN and not scheme.quantizes:
        return f"scheme {scheme.scheme} quantizes nothing, so nothing can be quantized again"
    if form == QUANTIZED_AGAIN and not isinstance(scheme, QuantizingScheme):
        return f"scheme {scheme.scheme} loads weights that others have quantized, and quantizes none itself"
    return method.unmergeable()
