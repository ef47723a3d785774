"""YAML's traps, closed: what words mean, where everything stands, and files that try to blow the reader up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.suite.nodes import place_of, plain
from harness.suite.scalars import SuiteDumper
from harness.suite.yaml_nodes import MAX_BYTES, read_yaml


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], Any]:
    def read_text(text: str | bytes) -> Any:
        path = tmp_path / "f.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return plain(read_yaml(path))

    return read_text


@pytest.fixture
def refusal(read: Callable[[str | bytes], Any], tmp_path: Path) -> Callable[[str | bytes], str]:
    def message(text: str | bytes) -> str:
        with pytest.raises(SuiteError) as caught:
            read(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("3.", 3.0), (".5", 0.5), ("-2.5e+3", -2500.0), ("7", 7), ("-1", -1), ("0", 0),
        ("true", True), ("false", False), ("~", None), ("null", None), ("", None),
        ("off", "off"), ("on", "on"), ("yes", "yes"), ("no", "no"), ("True", "True"), ("none", "none"),
        ("1:30", "1:30"), ("2024-01-02", "2024-01-02"), ("007", "007"), ("1_000", "1_000"), ("0x1f", "0x1f"),
        (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"), ("9" * 40, "9" * 40), ("'8'", "8"), ('"true"', "true"),
    ],
)  # fmt: skip
def test_a_word_is_what_a_person_means_by_it(read: Callable[[str], Any], word: str, value: object) -> None:
    found = read(f"key: {word}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text(read: Callable[[str], Any]) -> None:
    assert read("on: 1\n8: 2\nnull: 3\n1e-4: 4") == {"on": 1, "8": 2, "null": 3, "1e-4": 4}


def test_every_key_and_value_knows_its_place(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a:\n  - x\n  - {bé: 1, c: 2}\n", encoding="utf-8")
    root = read_yaml(path)
    assert str(place_of(root, ("a", 1, "c"))) == f"{path}:3:16"
    assert str(place_of(root, ("a", 1, "c"), key=True)) == f"{path}:3:13"
    assert str(place_of(root, ("a", 0))) == f"{path}:2:5"
    assert str(place_of(root, ("a", 7, "missing"))) == f"{path}:2:3"


def test_anchors_and_merge_keys_work(read: Callable[[str], Any]) -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {y: 9, z: 0}]}\nsame: *b\n"
    assert read(text) == {
        "base": {"x": 1, "y": 2}, "one": {"x": 1, "y": 3}, "two": {"x": 1, "y": 2, "z": 0}, "same": {"x": 1, "y": 2},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: &x [1, *x]", "a: &x {b: *x}", "a: &x {b: &y [*x]}", "a: &x {<<: *x}"])
def test_a_cycle_of_anchors_is_an_error_with_its_place(refusal: Callable[[str], str], text: str) -> None:
    assert refusal(text).startswith(f"f.yaml:1:{text.index('*x') + 1}: the anchor &x of ")


def test_an_alias_bomb_is_refused_at_once(refusal: Callable[[str], str]) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]" for i in range(9)]
    started = time.perf_counter()
    assert "more than 100,000 values once its anchors are written out" in refusal("\n".join(lines))
    assert time.perf_counter() - started < 2


def test_nesting_without_end_is_refused(refusal: Callable[[str], str]) -> None:
    assert "nested more than 50 levels deep" in refusal("a: " + "[" * 5000 + "]" * 5000)


def test_all_duplicate_keys_are_named_with_both_places(refusal: Callable[[str], str]) -> None:
    message = refusal("a: 1\nb: {c: 1, c: 2}\na: 2")
    assert "f.yaml:2:11: the key c is given twice, first at f.yaml:2:5" in message
    assert "f.yaml:3:1: the key a is given twice, first at f.yaml:1:1" in message


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [ls]", "!mine x", "!!binary aGk=", "!!str 8"])
def test_tags_construct_nothing(refusal: Callable[[str], str], tag: str) -> None:
    assert "f.yaml:1:4: the tag " in refusal(f"a: {tag}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: the file is empty; expected a mapping"),
        ("# a comment\n", "f.yaml:1:1: the file is empty"),
        ("- a\n- b\n", "f.yaml:1:1: expected a mapping of keys, found a list"),
        ("just text", "f.yaml:1:1: expected a mapping of keys, found the text 'just text'"),
        ("a: 1\n\tb: 2\n", "f.yaml:2:1: a tab cannot be used here; indent with spaces"),
        ("a:\n\t- b\n", "f.yaml:2:1: a tab cannot be used here; indent with spaces"),
        (b"name: caf\xe9\n", "f.yaml:1:10: not UTF-8 text (byte 0xe9); save the file as UTF-8"),
        ("a: 1\nb: x".encode("utf-16"), "f.yaml:1:1: not UTF-8 text"),
        ("a: 1\nb: \x07", "f.yaml:2:4: the control character U+0007 is not allowed"),
        ("a: [1, 2\nb: 3", "f.yaml:2:2: not valid YAML: did not find expected ',' or ']'"),
        ("a: b: c", "f.yaml:1:5: not valid YAML: mapping values are not allowed"),
        ("a: 'x", "not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document starts here"),
        ("a: &one 1\nb: *ones", "f.yaml:2:4: no anchor &ones was given before; did you mean *one?"),
        ("[a]: 1", "f.yaml:1:1: expected a name as key, found a list"),
        ("a: {<<: 3}", "f.yaml:1:9: << takes a mapping or a list of them, found 3"),
    ],
)
def test_what_is_no_suite_is_refused_with_the_position(
    refusal: Callable[[str | bytes], str], text: str | bytes, message: str
) -> None:
    assert message in refusal(text)


def test_a_huge_file_is_refused_without_reading_it(refusal: Callable[[str], str]) -> None:
    assert "a suite has at most 2 MiB" in refusal("#" * (MAX_BYTES + 1))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(SuiteError, match="is a folder, not a YAML file"):
        read_yaml(tmp_path)


scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
words = st.sampled_from(["1e-4", "off", "1:30", "007", "null", "~", "true", "none", "<<", "2024-01-02", "8", "#", "a: b"])
texts = words | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(value=st.recursive(scalars | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)))
def test_what_the_dumper_writes_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("round") / "f.yaml"
    path.write_text(yaml.dump({"key": value}, Dumper=SuiteDumper, allow_unicode=True), encoding="utf-8")
    assert plain(read_yaml(path)) == {"key": value}
