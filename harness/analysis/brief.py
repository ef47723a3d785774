"""The report's answer in three sentences, computed from the records: what is best in how much memory, what quantization cost, which claims held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.analysis.answers import COST, Candidate, candidates
from harness.analysis.card_sizes import CARD_SIZES
from harness.analysis.claim_sides import CheckedClaim
from harness.analysis.columns import Row, describe
from harness.analysis.effects import Sides, paired_difference, paired_ratio
from harness.analysis.groups import AxisOrder, group_by
from harness.analysis.schemes import SchemePair, changes, scheme_pairs
from harness.analysis.statistics import difference
from harness.analysis.tables import headline
from harness.quantities import Quantity

MOST_NAMED = 4
WEIGHTS = "sizes.model_bytes"


def brief(rows: Sequence[Row], order: AxisOrder, checked: Sequence[CheckedClaim], pairs: Sequence[SchemePair] | None = None) -> list[str]:
    """At most three sentences; one that the records have nothing for is left out. pairs: as of `scheme_table`."""
    pairs = scheme_pairs(rows) if pairs is None else pairs
    return [sentence for sentence in (_best(rows, order), _quantization(rows, order, pairs), _claims(checked)) if sentence]


def _best(rows: Sequence[Row], order: AxisOrder) -> str:
    """`Best: on llama and mmlu nf4 / lora (accuracy 45.10, 6.2 GiB); within 16 GB …`: a part for each model and task."""
    found = []
    groups = group_by(order.sort(rows, ["model", "task", "quantization", "method", "seed"]), ["model", "task"])
    for (model, task), group in groups.items():
        key = headline(group)
        alike = candidates(group, describe(key, group)) if key is not None else []
        if alike and len({candidate.protocol for candidate in alike}) == 1:
            assert key is not None, "else there are no candidates"
            found.append(f"on {model}, {task}: {'; '.join(_by_budget(alike, describe(key, group), _on_gpu(group)))}")
    if not found:
        return ""
    more = f", and {len(found) - MOST_NAMED} more models and tasks below" if len(found) > MOST_NAMED else ""
    return f"Best {', '.join(found[:MOST_NAMED])}{more}."


def _by_budget(alike: Sequence[Candidate], quantity: Quantity, on_gpu: bool) -> Iterator[str]:
    """The best of all, and the best within each memory budget that it does not fit."""
    best = _top(alike, quantity)
    ties = sum(difference(best.quality, other.quality).within_noise is not False for other in alike if other is not best)
    others = f", which no difference beyond the noise tells from {ties} other{'s' if ties > 1 else ''}" if ties else ""
    yield f"{_words(best, quantity)}{others}"
    told = best
    for card in reversed(CARD_SIZES) if on_gpu else ():
        within = [candidate for candidate in alike if candidate.memory is not None and candidate.memory.mean <= card.usable]
        if within and (now := _top(within, quantity)) is not told:
            yield f"on a card of {card.gigabytes} GB {_words(now, quantity)}"
            told = now


def _top(alike: Sequence[Candidate], quantity: Quantity) -> Candidate:
    sign = 1.0 if quantity.higher_is_better else -1.0
    return max(alike, key=lambda candidate: sign * candidate.quality.mean)


def _words(candidate: Candidate, quantity: Quantity) -> str:
    memory = f", {describe(COST).show(candidate.memory.mean)}" if candidate.memory is not None else ""
    return f"{candidate.name} ({quantity.label} {quantity.show(candidate.quality.mean)}{memory})"


def _on_gpu(rows: Sequence[Row]) -> bool:
    """Whether peaks are of a GPU's memory, which cards are bought by."""
    told = {row.record.memory.peak_vram_source for row in rows if row.ok}
    return bool(told) and not told & {"host_rss", None}


def _quantization(rows: Sequence[Row], order: AxisOrder, pairs: Sequence[SchemePair]) -> str:
    """What every scheme changed of the headline metrics, and of the weights' bytes, as means over pairs."""
    parts = []
    for (scheme,), _ in group_by(order.sort([pair.quantized for pair in pairs], ["quantization"]), ["quantization"]).items():
        of_scheme = [pair for pair in pairs if pair.quantized.axes["quantization"] == scheme]
        by_task = group_by([pair.quantized for pair in of_scheme], ["task"]).values()
        metrics = dict.fromkeys(key for key in map(headline, by_task) if key is not None)
        told = [_change(changes(of_scheme, describe(key, rows)), describe(key, rows)) for key in metrics]
        weights = [(ours, theirs) for ours, theirs in changes(of_scheme, describe(WEIGHTS)) if theirs.mean]
        ratio = paired_ratio(weights) if weights else None
        told += [f"weights by {100 * (ratio.value - 1):+.0f} %".replace("-", "−")] if ratio else []
        parts += [f"{scheme} changed {', '.join(words for words in told if words)}"] if any(told) else []
    if not parts:
        return ""
    more = f"; {len(parts) - MOST_NAMED} more schemes below" if len(parts) > MOST_NAMED else ""
    return f"Against unquantized weights {'; '.join(parts[:MOST_NAMED])}{more}."


def _change(sides: Sequence[Sides], quantity: Quantity) -> str:
    if not sides:
        return ""
    found = paired_difference(sides)
    noise = {True: " (within the noise)", False: "", None: " (noise unknown)"}[found.within_noise]
    return f"{quantity.label} by {quantity.show_difference(found.value)}{noise}"


def _claims(checked: Sequence[CheckedClaim]) -> str:
    """How many claims held, and which did not."""
    if not checked:
        return ""
    by_verdict: dict[str, list[str]] = defaultdict(list)
    for found in checked:
        by_verdict[found.verdict].append(found.claim.id)
    held = len(by_verdict.pop("reproduced", []))
    others = [f"{verdict}: {', '.join(ids[:MOST_NAMED])}{f' and {len(ids) - MOST_NAMED} more' if len(ids) > MOST_NAMED else ''}" for verdict, ids in by_verdict.items()]
    return f"{held} of {len(checked)} claims {'is' if held == 1 else 'are'} reproduced{'; ' if others else ''}{'; '.join(others)}."
