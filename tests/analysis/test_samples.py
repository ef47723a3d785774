"""What tables and summaries compare: the same samples that claims compare, item by item where items are known."""

from __future__ import annotations

from record_factory import metric, record

from harness.analysis.columns import row
from harness.analysis.groups import one_sample
from harness.analysis.statistics import difference
from harness.quantities import quantity


def test_a_table_tells_apart_what_is_worse_on_every_item() -> None:
    """Windows differ by far more than the two cells do."""
    sides = []
    for quantization, items in (("none", [1.0, 9.0, 5.0]), ("bnb-nf4", [1.1, 9.1, 5.11])):
        found = metric("perplexity", sum(items) / 3, stderr=2.3, items=items, protocol="p")
        sample = one_sample([row(record(quantization=quantization, metrics=[found]))], quantity("perplexity"))
        assert sample is not None
        sides.append(sample)
    assert difference(*sides).within_noise is False
