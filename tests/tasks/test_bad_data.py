"""One clear message for everything that can be wrong with a data file, already when the plan looks at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_files import QUESTIONS, ROWS, rte, write

from harness.errors import DataError
from harness.tasks.glue_datasets import GLUE
from harness.tasks.mmlu import Mmlu
from harness.tasks.rows.source import Source


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
    with pytest.raises(DataError, match=r"train.csv: cannot be read: Permission denied"):
        rte(tmp_path).load("train")


@pytest.mark.parametrize("choices", [["1", "2", "3"], "['1' '2' '3' '4']", [1, 2, 3, 4], "1, 2, 3, 4"])
def test_choices_must_be_four_texts(tmp_path: Path, choices: Any) -> None:
    write(tmp_path / "test.jsonl", [{**QUESTIONS[0], "choices": choices}])
    with pytest.raises(DataError, match=r"row 1, column choices: .*expected a list of 4 texts"):
        Mmlu(task="mmlu", data=str(tmp_path)).source().check("test")


def test_a_score_outside_its_range_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [{"sentence1": "a", "sentence2": "b", "label": 5.2}])
    with pytest.raises(DataError, match=r"expected a number from 0 to 5; got '5.2'"):
        Source(GLUE["stsb"].dataset(), str(tmp_path)).load("train")
