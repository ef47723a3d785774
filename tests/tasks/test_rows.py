"""Rows of a split: the same from every format, found by every usual name, drawn by the seed."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_files import QUESTIONS, ROWS, rte, write

from harness.errors import DataError
from harness.tasks.glue_datasets import GLUE
from harness.tasks.mmlu import Mmlu
from harness.tasks.rows.source import Rows, Source, _commit


def columns_of(rows: Rows) -> list[dict[str, Any]]:
    return list(rows)


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl", "train.json", "train.csv", "train.tsv"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    expected = [{key: row[key] for key in ("sentence1", "sentence2", "label")} for row in ROWS]
    assert columns_of(rte(tmp_path).load("train")) == expected


@pytest.mark.parametrize("name", ["test.parquet", "test.jsonl", "test.json", "test.csv", "test.tsv"])
def test_every_format_gives_the_same_lists(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, QUESTIONS)
    source = Mmlu(task="mmlu", data=str(tmp_path)).source()
    assert columns_of(source.load("test")) == QUESTIONS


def test_a_json_file_may_hold_one_object_a_line(tmp_path: Path) -> None:
    write(tmp_path / "train.json", ROWS, array=False)
    assert len(rte(tmp_path).load("train")) == 3


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("\ufeffsentence1,sentence2,label\na,b,1\n", encoding="utf-8")
    assert columns_of(rte(tmp_path).load("train")) == [{"sentence1": "a", "sentence2": "b", "label": 1}]


@pytest.mark.parametrize(
    ("task", "name", "text", "row"),
    [
        ("cola", "dev.tsv", 'gj04\t1\t\tHe said "go\ngj04\t0\t*\tHe "went\n', {"sentence": 'He said "go', "label": 1}),
        ("sst2", "dev.tsv", 'sentence\tlabel\n"quoted" start \t1\n', {"sentence": '"quoted" start ', "label": 1}),
        ("mrpc", "dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tA b.\tA c.\n", {"sentence1": "A b.", "sentence2": "A c.", "label": 1}),
        ("qqp", "dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t0\n", {"question1": "Why?", "question2": "How?", "label": 0}),
        ("stsb", "dev.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t3.25\n", {"sentence1": "a", "sentence2": "b", "label": 3.25}),
        ("qnli", "dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tnot_entailment\n", {"question": "Who?", "sentence": "He.", "label": 1}),
        ("rte", "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", {"sentence1": "a", "sentence2": "b", "label": 0}),
        ("wnli", "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", {"sentence1": "a", "sentence2": "b", "label": 1}),
        ("mnli", "dev_matched.tsv", "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n0\tx\ta\tb\tneutral\tcontradiction\n", {"premise": "a", "hypothesis": "b", "label": 2}),
    ],
)
def test_glues_own_tsv_files_are_read(tmp_path: Path, task: str, name: str, text: str, row: dict[str, Any]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    rows = Source(GLUE[task].dataset(), str(tmp_path)).load(GLUE[task].splits[0])
    assert columns_of(rows)[0] == row
    Source(GLUE[task].dataset(), str(tmp_path)).check(GLUE[task].splits[0])


@pytest.mark.parametrize("name", ["validation.csv", "dev.csv", "VAL.csv", "valid.CSV"])
def test_a_split_goes_by_its_usual_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / "x.csv", ROWS).rename(tmp_path / name)
    assert len(rte(tmp_path).load("validation")) == 3


@pytest.mark.parametrize("below", ["RTE", "rte", "glue/RTE", "glue/rte"])
def test_a_folder_of_data_sets_is_searched_by_name(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(parents=True)
    write(tmp_path / below / "train.csv", ROWS)
    assert rte(tmp_path).files("train") == [tmp_path / below / "train.csv"]


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", ROWS[:2])
    write(tmp_path / "train-00001-of-00002.parquet", ROWS[2:])
    assert rte(tmp_path).load("train")["label"] == [1, 0, 1]


def test_the_first_rows_are_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [{**ROWS[0], "sentence1": str(number)} for number in range(100)])
    assert rte(tmp_path).load("train").first(3)["sentence1"] == ["0", "1", "2"]


def test_hub_data_goes_through_load_dataset(tmp_path: Path) -> None:
    """A folder stands for the hub's repository: the same code of `datasets` reads it, config and splits included."""
    (tmp_path / "rte").mkdir()
    write(tmp_path / "rte" / "train-00000-of-00001.parquet", ROWS)
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: rte\n  data_files:\n  - split: train\n    path: rte/train-*\n---\n")
    source = Source(replace(GLUE["rte"].dataset(), hub=str(tmp_path)), "hub")
    assert source.load("train")["label"] == [1, 0, 1]
    with pytest.raises(DataError, match=r"split validation.*cannot be loaded"):
        source.load("validation")


def test_an_unreachable_hub_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"hub data set nyu-mll/glue \(rte, split train\): cannot be loaded: .*`data:` a folder"):
        Source(GLUE["rte"].dataset(), "hub").load("train")


def test_hub_data_is_not_looked_at_by_the_plan() -> None:
    source = Source(GLUE["rte"].dataset(), "hub")
    source.check("validation")
    assert source.files("validation") == []
    assert source.missing("train") is None


def test_a_task_without_micro_data_says_so() -> None:
    with pytest.raises(DataError, match="glue/qqp: there is no micro data"):
        Source(GLUE["qqp"].dataset(), "micro").check("validation")


@pytest.mark.parametrize(
    ("task", "train", "validation"),
    [("rte", 2490, 277), ("sst2", 67349, 872), ("cola", 8551, 1043), ("mrpc", 4076, 1725)],
)
def test_the_real_glue_files_are_read(shared_data: Path, task: str, train: int, validation: int) -> None:
    source = Source(GLUE[task].dataset(), str(shared_data))
    assert len(source.load("train")) == train
    assert len(source.load("validation")) == validation


def test_a_tsv_that_quotes_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    with (tmp_path / "train.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerows([["sentence1", "sentence2", "label"], ["two\nlines", 'a "tab\t"', "1"]])
    assert columns_of(rte(tmp_path).load("train")) == [{"sentence1": "two\nlines", "sentence2": 'a "tab\t"', "label": 1}]


def test_the_commit_of_a_hub_data_set_is_read_off_where_datasets_keeps_it() -> None:
    commit = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
    kept = [{"filename": f"/cache/huggingface/datasets/nyu-mll___glue/rte/0.0.0/{commit}/glue-train.arrow"}]
    assert _commit(kept) == commit
    assert _commit([{"filename": "/cache/json/default-1a2b/0.0.0/json-train.arrow"}]) is None
    assert _commit([]) is None


def test_rows_taken_keep_where_they_came_from() -> None:
    rows = Rows({"text": ["a", "b", "c"]}, "hub data set x", "abc")
    assert (rows.take([2, 0])["text"], rows.take([2, 0]).place, rows.first(1).revision) == (["c", "a"], "hub data set x", "abc")
