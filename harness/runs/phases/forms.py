"""The forms of a tuned model, one after the other: as trained, merged into unquantized weights, and quantized again.

Each is evaluated, and its generation timed, in phases of its own: quality, memory and speed may all differ between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import Unsupported
from harness.models.sizes import model_bytes
from harness.records.parts import Form, PhaseName, When
from harness.runs.phases import evaluate, generate, load, merge, requantize
from harness.suite.forms import forms_of

if TYPE_CHECKING:
    from harness.runs.cell import Life

Phase: TypeAlias = Callable[[PhaseName], AbstractContextManager[None]]


@dataclass(frozen=True)
class Measured:
    """Under which names a form's measurements go."""

    form: Form
    when: When
    evaluate: PhaseName
    generate: PhaseName


AS_TRAINED = Measured("unmerged", "after", "evaluate", "generate")
MERGED = Measured("merged", "merged", "evaluate_merged", "generate_merged")
REQUANTIZED = Measured("merged-requantized", "merged-requantized", "evaluate_requantized", "generate_requantized")


def run(life: Life, phase: Phase) -> None:
    """Measures the tuned and saved model in every form that the cell has; raises Unsupported where it turns out to have none."""
    forms = forms_of(life.cell.config)
    life.result.notes.extend(f"not evaluated {form}: {reason}" for form, reason in forms.absent.items())
    if life.cell.config.scheme.after_tuning:
        _quantize(life, phase)
    further = [form for form in forms.due if form != AS_TRAINED.form]
    measured: list[Form] = []
    if AS_TRAINED.form in forms.due:
        _measure(life, phase, AS_TRAINED)
        measured.append(AS_TRAINED.form)
    if not further:
        return
    try:
        for form in _merged_forms(life, phase, further):
            measured.append(form)
    except Unsupported as reason:
        if not measured:
            raise
        life.result.notes += [f"not evaluated {form}: {reason}" for form in further if form not in measured]


def _quantize(life: Life, phase: Phase) -> None:
    """Merges what was tuned before it was quantized, and quantizes: from here on, that is the cell's model."""
    scheme = life.cell.config.scheme
    with merge.scratch(life) as folder:
        with phase("merge"):
            merge.run(life)
            merged = merge.save(life, folder / "model")
        merge.release(life)
        with phase("quantize"):
            quantized = requantize.run(life, merged)
    life.result.sizes.model_bytes = model_bytes(life.model)
    life.result.quantization = load.quantization_of(life.model, scheme, quantized)


def _merged_forms(life: Life, phase: Phase, due: list[Form]) -> Iterator[Form]:
    """Measures the forms without the method: merged, and merged and quantized again; gives each once it is measured."""
    again = REQUANTIZED.form in due
    if merge.needs_reloading(life):
        merge.release(life)
    with merge.scratch(life) as folder:
        with phase("merge"):
            merge.run(life)
            merged = merge.save(life, folder / "model") if again else None
        if MERGED.form in due:
            _measure(life, phase, MERGED)
            yield MERGED.form
        if merged is not None:
            merge.release(life)
            with phase("requantize"):
                requantize.run(life, merged)
    if again:
        life.result.sizes.requantized_bytes = model_bytes(life.model)
        _measure(life, phase, REQUANTIZED)
        yield REQUANTIZED.form


def _measure(life: Life, phase: Phase, form: Measured) -> None:
    with phase(form.evaluate):
        evaluate.run(life, form.when)
    if life.cell.config.measure.latency is not None:
        with phase(form.generate):
            generate.run(life, form.form)
