"""Which texts a calibration stands for: what may be given together, what is part of its identity, and what is said of bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import DataError
from harness.quantization.calibration import Calibration


def test_a_file_or_texts_say_which_set_it_is() -> None:
    assert Calibration().set == "c4"
    assert Calibration(file="a.txt").set == "file"
    assert Calibration(texts=["a"]).set == "texts"
    assert Calibration(set="texts", texts=["a"]) == Calibration(texts=["a"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"set": "c4", "file": "a.txt"}, "file is given, but the set is c4: give one of them, file or set: c4"),
        ({"set": "task", "texts": ["a"]}, "texts is given, but the set is task"),
        ({"file": "a.txt", "texts": ["a"]}, "texts is given, but the set is file"),
        ({"set": "file"}, "the set is file, but file is not given"),
        ({"set": "texts"}, "the set is texts, but texts is not given"),
        ({"set": "micro", "data": "folder"}, "data is where a named set is .*, but the set is micro: leave data out"),
        ({"file": "a.csv"}, r"a calibration file is a \.txt .* or a \.jsonl .*; found a\.csv"),
        ({"texts": ["", " "]}, "texts holds no text"),
        ({"set": "wikitext"}, "'wikitext2'"),
        ({"samples": 0}, "greater than or equal to 1"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_with_what_would_be_right(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Calibration.model_validate(fields)


def test_the_identity_has_every_field_but_not_where_files_lie() -> None:
    one, other = Calibration(file="/here/a.txt"), Calibration(file="/there/a.txt")
    assert one.identity() == other.identity()
    assert Calibration(set="c4", data="/here").identity() == Calibration(set="c4", data="/there").identity()
    assert Calibration(set="c4", data="/here").identity() != Calibration(set="c4").identity()
    for change in ({"seed": 1}, {"samples": 3}, {"length": 9}, {"set": "ptb"}):
        assert Calibration.model_validate(change).identity() != Calibration().identity()


def test_local_files_are_those_that_decide_the_samples(tmp_path: Path) -> None:
    assert Calibration(set="c4").local_files() == []
    assert Calibration(set="task").local_files() == []
    assert [path.name for path in Calibration(set="micro").local_files()] == ["train.parquet"]
    (tmp_path / "train.jsonl").write_text('{"sentence": "a text"}\n')
    assert Calibration(set="ptb", data=str(tmp_path)).local_files() == [tmp_path / "train.jsonl"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not there; it is looked for relative to the suite file"),
        (b"", "is empty: it needs at least one text"),
        (b"\n  \n", "is empty: it needs at least one text"),
        (b"caf\xe9", "is not UTF-8 .*; save it as UTF-8"),
    ],
)
def test_a_file_without_texts_is_told_apart_from_one_that_is_missing(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        Calibration(file=str(path)).local_files()


def test_a_folder_without_the_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file for the split train; expected train\.parquet"):
        Calibration(set="c4", data=str(tmp_path)).local_files()
    (tmp_path / "train.jsonl").write_text('{"content": "a"}\n')
    with pytest.raises(DataError, match="no column text for c4"):
        Calibration(set="c4", data=str(tmp_path)).local_files()
