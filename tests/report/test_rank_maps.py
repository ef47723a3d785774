"""Where ranks went: rows are layers, columns matrices, seeds are averaged, and the report draws it."""

from __future__ import annotations

from pathlib import Path

from record_factory import metric, record, write_run

from harness.analysis.columns import rows
from harness.analysis.groups import AxisOrder
from harness.analysis.ranks import rank_maps
from harness.records.measured import Training
from harness.records.schema import Record
from harness.report.write import write_report

BERT = {
    "bert.encoder.layer.{}.attention.self.query": 2, "bert.encoder.layer.{}.attention.self.value": 6,
    "bert.encoder.layer.{}.attention.output.dense": 4, "bert.encoder.layer.{}.output.dense": 8,
}  # fmt: skip


def allocated(ranks: dict[str, int], **fields: object) -> Record:
    training = Training(steps=30, tokens=4000, samples=240, rank_allocation=ranks)
    return record(metrics=[metric()], method="adalora", training=training, **fields)


def test_layers_are_rows_matrices_columns_and_seeds_are_averaged() -> None:
    first = {name.format(layer): rank + layer for name, rank in BERT.items() for layer in range(12)}
    second = {name: rank + 2 for name, rank in first.items()}
    (found,) = rank_maps(rows([allocated(first, seed=0), allocated(second, seed=1)]), AxisOrder())
    assert found.layers == tuple(str(layer) for layer in range(12))
    assert found.matrices == ("query", "value", "attention.output.dense", "output.dense")
    assert found.ranks["11", "query"] == 2 + 11 + 1
    assert found.seeds == 2


def test_stacks_and_cross_attention_are_told_apart() -> None:
    ranks = {
        "encoder.block.0.layer.0.SelfAttention.q": 1, "decoder.block.0.layer.0.SelfAttention.q": 2,
        "decoder.block.0.layer.1.EncDecAttention.q": 3,
        "model.encoder.layers.1.self_attn.q_proj": 4, "model.decoder.layers.1.encoder_attn.q_proj": 5,
    }  # fmt: skip
    (found,) = rank_maps(rows([allocated(ranks)]), AxisOrder())
    assert found.layers == ("0", "1", "decoder 0", "decoder 1")
    assert dict(found.ranks) == {
        ("0", "q"): 1, ("decoder 0", "q"): 2, ("decoder 0", "EncDecAttention.q"): 3,
        ("1", "q_proj"): 4, ("decoder 1", "encoder_attn.q_proj"): 5,
    }  # fmt: skip


def test_records_without_ranks_draw_nothing_and_others_are_left_out() -> None:
    assert rank_maps(rows([record(metrics=[metric()])]), AxisOrder()) == []
    assert len(rank_maps(rows([record(metrics=[metric()]), allocated({"h.0.attn.c_attn": 3})]), AxisOrder())) == 1


def test_the_report_draws_the_map_with_every_rank_in_its_field(tmp_path: Path) -> None:
    ranks = {name.format(layer): 10 * (layer + 1) + rank for name, rank in BERT.items() for layer in range(6)}
    run = write_run(tmp_path / "run", [allocated(ranks)])
    paths = write_report(run, ["md", "html"])
    (plot,) = [path for path in paths if path.name.startswith("ranks-")]
    drawn = plot.read_text(encoding="utf-8")
    assert all(f"<!-- {rank} -->" in drawn for rank in ranks.values())
    assert f"plots/{plot.name}" in (run / "report.md").read_text(encoding="utf-8")
    assert "Where the rank went" in (run / "report.html").read_text(encoding="utf-8")
