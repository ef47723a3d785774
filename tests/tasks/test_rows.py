"""Rows of a split: the same from every format, and one clear message for everything that is wrong with a file."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from harness.errors import DataError
from harness.tasks.glue_datasets import GLUE
from harness.tasks.mmlu import Mmlu
from harness.tasks.rows.source import Rows, Source

ROWS = [
    {"sentence1": 'He said "no, never".', "sentence2": "Ünïcode, and a comma", "label": 1, "idx": 0},
    {"sentence1": '"Quoted whole."', "sentence2": "", "label": 0, "idx": 1},
    {"sentence1": "A line\u2028separator", "sentence2": "None", "label": 1, "idx": 2},
]
QUESTIONS = [
    {"question": "What is 1 + 1?", "subject": "arithmetic", "choices": ["1", "2", "it's \"3\"", "4, or 5"], "answer": 1},
    {"question": "And 2 + 2?\nThink.", "subject": "arithmetic", "choices": ["1", "2", "3", "4"], "answer": 3},
]


def write(path: Path, rows: list[dict[str, Any]], *, array: bool = True) -> Path:
    """Writes rows as the file's suffix says, with pandas where pandas writes it."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl" or not array:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def rte(folder: Path) -> Source:
    return Source(GLUE["rte"].dataset(), str(folder))


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


def no_folder(folder: Path) -> None:
    folder.rmdir()


def a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


def other_files(folder: Path) -> None:
    write(folder / "train.csv", ROWS)


def two_files(folder: Path) -> None:
    write(folder / "validation.csv", ROWS)
    write(folder / "dev.tsv", ROWS)


def a_shard_lost(folder: Path) -> None:
    write(folder / "validation-00001-of-00002.parquet", ROWS)


def a_misnamed_column(folder: Path) -> None:
    write(folder / "validation.csv", [{"sentence_1": "a", "sentence2": "b", "label": 1}])


def no_rows(folder: Path) -> None:
    pd.DataFrame(ROWS).head(0).to_parquet(folder / "validation.parquet")


def a_header_alone(folder: Path) -> None:
    (folder / "validation.csv").write_text("sentence1,sentence2,label\n")


def no_bytes(folder: Path) -> None:
    (folder / "validation.tsv").write_bytes(b"")


def an_empty_array(folder: Path) -> None:
    (folder / "validation.json").write_text("[]")


def a_label_too_high(folder: Path) -> None:
    write(folder / "validation.parquet", [{**ROWS[0], "label": 2}])


def an_unlabelled_row(folder: Path) -> None:
    write(folder / "validation.parquet", [{**ROWS[0], "label": -1}])


def an_unknown_class(folder: Path) -> None:
    write(folder / "validation.jsonl", [{**ROWS[0], "label": "not-entailment"}])


def a_fractional_label(folder: Path) -> None:
    write(folder / "validation.jsonl", [{**ROWS[0], "label": 0.5}])


def a_missing_label(folder: Path) -> None:
    write(folder / "validation.jsonl", [{**ROWS[0], "label": None}])


def a_number_for_a_text(folder: Path) -> None:
    write(folder / "validation.parquet", [{**ROWS[0], "sentence2": 7}])


def latin_1(folder: Path) -> None:
    (folder / "validation.csv").write_bytes("sentence1,sentence2,label\nn\xe9,b,1\n".encode("latin-1"))


def a_truncated_parquet(folder: Path) -> None:
    path = write(folder / "validation.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-20])


def no_parquet(folder: Path) -> None:
    (folder / "validation.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")


def a_cut_line(folder: Path) -> None:
    (folder / "validation.jsonl").write_text('{"sentence1": "a", "sent')


def a_cut_array(folder: Path) -> None:
    (folder / "validation.json").write_text('[{"sentence1": "a"}')


def no_object(folder: Path) -> None:
    (folder / "validation.jsonl").write_text("[1, 2]\n")


def a_short_row(folder: Path) -> None:
    (folder / "validation.csv").write_text("sentence1,sentence2,label\na,1\n")


def an_open_quote(folder: Path) -> None:
    (folder / "validation.csv").write_text('sentence1,sentence2,label\n"a,b,1\n')


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (no_folder, "no such folder"),
        (a_file, "is a file; expected a folder"),
        (other_files, "no file for the split validation; expected validation.parquet (or .jsonl, .json, .csv, .tsv; the names dev, val, valid are read too); the folder holds train.csv"),
        (two_files, "several files for the split validation: dev.tsv, validation.csv"),
        (a_shard_lost, "split validation has 1 of 2 shards"),
        (a_misnamed_column, "validation.csv: no column sentence1 for glue/rte; it has sentence_1, sentence2, label; did you mean sentence_1?"),
        (no_rows, "validation.parquet: split validation of glue/rte has no rows"),
        (a_header_alone, "has no rows"),
        (no_bytes, "has no rows"),
        (an_empty_array, "has no rows"),
        (a_label_too_high, "validation.parquet: row 1, column label: outside the range; expected one of 0 (entailment), 1 (not_entailment); got 2"),
        (an_unlabelled_row, "row 1, column label: -1 marks a row without a label"),
        (an_unknown_class, "row 1, column label: not a known class (did you mean not_entailment?)"),
        (a_fractional_label, "row 1, column label: expected one of 0 (entailment)"),
        (a_missing_label, "row 1, column label: expected one of 0 (entailment), 1 (not_entailment); got nothing"),
        (a_number_for_a_text, "row 1, column sentence2: expected a text; got 7"),
        (latin_1, "validation.csv: byte 27 is not UTF-8"),
        (a_truncated_parquet, "validation.parquet: not a readable parquet file (cut off or damaged?)"),
        (no_parquet, "validation.parquet: not a readable parquet file (cut off or damaged?)"),
        (a_cut_line, "validation.jsonl:1: not valid JSON"),
        (a_cut_array, "validation.json: not valid JSON"),
        (no_object, "validation.jsonl: line 1: expected a JSON object with the columns as keys, got list"),
        (a_short_row, "validation.csv: row 1: 2 fields, but the header has 3"),
        (an_open_quote, "validation.csv: row 1: not readable as csv"),
    ],
)
def test_bad_data_is_one_message_that_says_where_and_what(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    spoil(folder)
    for use in (rte(folder).check, rte(folder).load):  # the plan finds it already
        with pytest.raises(DataError) as caught:
            use("validation")
        assert says in str(caught.value)
        assert str(folder) in str(caught.value)


def test_a_bad_row_further_down_is_named_when_the_rows_are_read(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [*ROWS, {**ROWS[0], "label": 5}])
    rte(tmp_path).check("train")
    with pytest.raises(DataError, match=r"train.csv: row 4, column label: .* got '5'"):
        rte(tmp_path).load("train")


def test_a_key_missing_further_down_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [ROWS[0], {"sentence1": "a", "label": 1}])
    with pytest.raises(DataError, match="row 2: column 'sentence2' is missing"):
        rte(tmp_path).load("train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS).chmod(0)
    with pytest.raises(DataError, match="train.csv: cannot be read: Permission denied"):
        rte(tmp_path).load("train")


@pytest.mark.parametrize("choices", [["1", "2", "3"], "['1' '2' '3' '4']", [1, 2, 3, 4], "1, 2, 3, 4"])
def test_choices_must_be_four_texts(tmp_path: Path, choices: Any) -> None:
    write(tmp_path / "test.jsonl", [{**QUESTIONS[0], "choices": choices}])
    with pytest.raises(DataError, match="row 1, column choices: .*expected a list of 4 texts"):
        Mmlu(task="mmlu", data=str(tmp_path)).source().check("test")


def test_a_score_outside_its_range_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [{"sentence1": "a", "sentence2": "b", "label": 5.2}])
    with pytest.raises(DataError, match="expected a number from 0 to 5; got '5.2'"):
        Source(GLUE["stsb"].dataset(), str(tmp_path)).load("train")


def test_drawn_rows_depend_on_the_seed_alone(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [{**ROWS[0], "sentence1": str(number)} for number in range(100)])
    rows = rte(tmp_path).load("train")
    first, again, other = (rows.drawn(10, seed)["sentence1"] for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 10
    assert rows.drawn(500, 0)["sentence1"] == rows["sentence1"]
    assert rows.first(3)["sentence1"] == ["0", "1", "2"]


def test_hub_data_goes_through_load_dataset(tmp_path: Path) -> None:
    """A folder stands for the hub's repository: the same code of `datasets` reads it, config and splits included."""
    (tmp_path / "rte").mkdir()
    write(tmp_path / "rte" / "train-00000-of-00001.parquet", ROWS)
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: rte\n  data_files:\n  - split: train\n    path: rte/train-*\n---\n")
    from dataclasses import replace

    source = Source(replace(GLUE["rte"].dataset(), hub=str(tmp_path)), "hub")
    assert source.load("train")["label"] == [1, 0, 1]
    with pytest.raises(DataError, match="split validation.*cannot be loaded"):
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
