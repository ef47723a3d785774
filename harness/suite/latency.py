"""The sizes at which `measure.latency` measures: their names in addresses, and whether a model has room for them."""

from __future__ import annotations

import re
from typing import get_args

from harness.errors import UnknownName
from harness.methods.base import SizedMethod
from harness.methods.budget import Chosen
from harness.needs import ModelFacts
from harness.records.parts import When
from harness.suite.cell import CellConfig
from harness.suite.settings import LatencySettings

SECTIONS = ("latency.", "batch_latency.")


def size_part(batch_size: int, tokens: int) -> str:
    """The part of an address that says at which size: `b8-p128`."""
    return f"b{batch_size}-p{tokens}"


def size_of(part: str) -> tuple[int, int] | None:
    """(batch size, prompt tokens) of `b8-p128`; None of anything else."""
    found = re.fullmatch(r"b(\d+)-p(\d+)", part)
    return (int(found[1]), int(found[2])) if found else None


def part_of(key: str) -> str | None:
    """The size in the address of a latency; None where it names none, and of other addresses."""
    name, _, rest = key.partition(":")
    part = rest.partition(":")[0]
    return part if name.startswith(SECTIONS) and part and part not in get_args(When) else None


def unmeasured(key: str, settings: LatencySettings | None) -> str | None:
    """Why a cell with these settings has nothing at the address of a latency, or None; of other addresses None."""
    part = part_of(key)
    if part is None:
        return None
    if settings is None:
        return f"{key}: the suite measures no latencies; give it measure.latency"
    sizes = [size_part(batch_size, tokens) for batch_size in settings.batch_sizes for tokens in settings.prompt_lengths]
    if part in sizes:
        return None
    return f"{UnknownName('size of measure.latency', part, sizes)}"


def untimeable(config: CellConfig, facts: ModelFacts | None, chosen: Chosen | None) -> str | None:
    """Why the latency cannot be measured at the lengths asked for, or None. chosen: the size that the method's budget chose.

    A model of unknown facts (not downloaded yet) is let pass, and one without bounds.
    """
    settings, method = config.measure.latency, config.method
    if settings is None or config.measure.probe or facts is None or facts.context is None:
        return None
    if chosen is not None and isinstance(method, SizedMethod):
        method = method.with_size(chosen.size)
    generates, virtual = not config.task.head(facts).new, method.virtual_tokens
    length = settings.length(generates, facts.kind == "encoder-decoder") + virtual
    if length <= facts.context:
        return None
    fields = [f"prompt_tokens {max(settings.prompt_lengths)}"]
    fields += [f"new_tokens {settings.new_tokens}"] if generates else []
    fields += [f"{virtual} virtual tokens of {method.method}"] if virtual else []
    return f"measure.latency needs {length} positions ({', '.join(fields)}); the model's context is {facts.context}"
