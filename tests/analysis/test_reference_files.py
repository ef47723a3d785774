"""Reference files: every shipped one is what the papers' facts say, and a file that is wrong is refused with the line."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.analysis.printed_metrics import PRINTED, metric_trouble
from harness.analysis.reference_files import read_reference, reference, reference_names, references_folder
from harness.errors import SuiteError
from harness.methods.base import METHODS
from harness.quantities import QUANTITIES
from harness.quantization.base import SCHEMES
from harness.tasks.base import TASKS

PAPERS = references_folder().parents[2] / "shared" / "papers"
WIDE = {  # files whose rows are a measurement each, not a number: the columns that are numbers
    "fms_acceleration": (
        "mem_nvidia_mem_reserved", "mem_peak_torch_mem_alloc_in_bytes", "mem_torch_mem_alloc_in_bytes", "train_loss", "train_runtime",
        "train_samples_per_second", "train_steps_per_second", "train_tokens_per_second",
    ),
    "peft_metamath": (
        "test_accuracy", "memory_reserved_max_bytes", "memory_reserved_avg_bytes", "train_seconds", "adapter_bytes", "trainable_parameters", "forgetting",
    ),
}  # fmt: skip
SCHEME_FORMS = re.compile(r"(gptq|rtn|awq)-[2348]bit(-g\d+)?(-reorder)?\Z|salient\Z|int4\Z|fp4-e2m1\Z|fp4-e3m0\Z|nf4-dq\Z")
NOT_HERE = {  # what sources name and the harness does not have: such a number stands beside no cell
    "method": {"adapter-lin", "svd-lora"},
    "scheme": {"int8-absmax", "int8-zeropoint"},
    "task": {
        "agieval", "bbh", "ceval", "ceval-dev", "cmmlu", "lambada", "math", "mbpp", "mnli-m", "raft", "super-natural-instructions", "t0-held-out/median",
        "wikisql", "wikitext103",
    },
}  # fmt: skip


def facts(name: str) -> dict[str, Any]:
    """The paper's file as it was handed over."""
    if not PAPERS.is_dir():
        pytest.skip(f"the papers' facts are not on this machine ({PAPERS})")
    if not (PAPERS / f"{name}.yaml").is_file():
        pytest.skip(f"{name} is not one of the papers' facts")
    loaded: dict[str, Any] = yaml.safe_load((PAPERS / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def test_every_papers_facts_are_here() -> None:
    if not PAPERS.is_dir():
        pytest.skip(f"the papers' facts are not on this machine ({PAPERS})")
    assert {path.stem for path in PAPERS.glob("*.yaml")} <= set(reference_names())


@pytest.mark.parametrize("name", reference_names())
def test_rows_and_numbers_are_those_of_the_papers_facts(name: str) -> None:
    given, source = facts(name), reference(name)
    columns = WIDE.get(name, ("value",))
    wanted = Counter((float(row[key]), row["verified"]) for table in given["tables"] for row in table["rows"] for key in columns if key in row)
    assert Counter((number.value, number.verified) for table in source.tables for number in table.numbers) == wanted
    assert sum(len(table.rows) for table in source.tables) == sum(len(table["rows"]) for table in given["tables"])


@pytest.mark.parametrize("name", reference_names())
def test_claims_in_words_and_the_source_are_carried_over(name: str) -> None:
    given, source = facts(name), reference(name)
    assert [claim.model_dump() for claim in source.claims] == [{key: claim[key] for key in ("id", "kind", "text")} for claim in given["claims"]]
    assert (source.title, source.year, source.arxiv) == (given["title"], given["year"], given.get("arxiv"))


@pytest.mark.parametrize("name", reference_names())
def test_every_number_is_finite_has_a_protocol_and_a_known_metric(name: str) -> None:
    for table in reference(name).tables:
        for number in table.numbers:
            assert math.isfinite(number.value)
            assert number.verified in (True, False)
            assert number.protocol
            assert number.protocol.strip()
            assert "as above" not in number.protocol
            assert metric_trouble(number.metric) is None


def test_no_metric_is_both_ours_and_only_printed() -> None:
    assert not set(PRINTED) & set(QUANTITIES)


@pytest.mark.parametrize("name", reference_names())
def test_what_places_a_number_is_registered_or_listed_as_not_here(name: str) -> None:
    for number in (number for table in reference(name).tables for number in table.numbers):
        assert number.method is None or number.method in {*METHODS.names(), *NOT_HERE["method"]}
        assert number.scheme is None or SCHEME_FORMS.match(number.scheme) or number.scheme in {*SCHEMES.names(), *NOT_HERE["scheme"]}
        assert number.task is None or number.task.endswith("/mean") or number.task in {*TASKS.names(), *NOT_HERE["task"]}


GOOD = """\
paper: demo
title: A paper
arxiv: '2401.00001'
year: 2024
tables:
  - id: results
    caption: Accuracy
    protocol: test split
    rows:
      - {model: tiny, metric: accuracy, value: 88.8, verified: true}
claims: []
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "demo.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    source = read_reference(written(tmp_path, GOOD))
    assert [number.value for number in source.tables[0].numbers] == [88.8]
    assert source.tables[0].numbers[0].protocol == "test split"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("    protocol: test split\n", "", r"demo.yaml:9:9: tables\[0\].rows\[0\]: neither this row nor its table results has a protocol"),
        ("protocol: test split", "protocol: ' '", r"demo.yaml:8:15: tables\[0\].protocol: the protocol of table results is blank"),
        ("protocol: test split", "protocol:", r"demo.yaml:10:9: tables\[0\].rows\[0\]: neither this row nor its table"),
        (", verified: true", "", r"demo.yaml:10:9: tables\[0\].rows\[0\]: the key verified is missing"),
        ("verified: true", "verified: yes", r"demo.yaml:10:64: .*expected true or false, found the text 'yes'"),
        ("value: 88.8", "value: '88.8'", r"demo.yaml:10:48: .*expected a number"),
        ("value: 88.8", "value: .nan", r"demo.yaml:10:48: .*expected a number"),
        ("metric: accuracy", "metric: acuracy", r"demo.yaml:10:9: .*unknown metric 'acuracy'; did you mean accuracy"),
        ("metric: accuracy, value: 88.8", "metric: accuracy", r"demo.yaml:10:9: .*either metric and value, or values"),
        ("metric: accuracy, value: 88.8", "values: {}", r"demo.yaml:10:9: .*either metric and value, or values"),
        ("value: 88.8", "value: 88.8, value: 88.9", r"demo.yaml:10:54: the key value is given twice"),
        ("caption: Accuracy", "captoin: Accuracy", r"demo.yaml:7:5: .*unknown key; did you mean caption"),
        ("paper: demo", "paper: other", r"demo.yaml:1:8: paper: is 'other', but the file is named demo.yaml"),
        ("arxiv: '2401.00001'\n", "", r"neither arxiv nor url"),
        ("claims: []", "claims: [{id: a, kind: x, text: y}, {id: a, kind: x, text: z}]", r"claims\[1\].id: the id a is already that of claims\[0\]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in GOOD
    with pytest.raises(SuiteError, match=message):
        read_reference(written(tmp_path, GOOD.replace(right, wrong)))


def test_all_problems_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("    protocol: test split\n", "").replace("paper: demo", "paper: other")
    with pytest.raises(SuiteError) as refused:
        read_reference(written(tmp_path, text))
    assert len(refused.value.problems) == 2


def test_a_rows_own_protocol_holds_for_its_numbers(tmp_path: Path) -> None:
    own = "      - {model: tiny, protocol: dev split, values: {accuracy: 80, memory.train_peak: 2.0e+9}, verified: false}\n"
    numbers = read_reference(written(tmp_path, GOOD.replace("claims", own + "claims"))).tables[0].numbers
    assert [(number.metric, number.value, number.protocol) for number in numbers] == [
        ("accuracy", 88.8, "test split"), ("accuracy", 80.0, "dev split"), ("memory.train_peak", 2e9, "dev split"),
    ]  # fmt: skip


def test_rows_may_have_the_protocols_and_the_table_none(tmp_path: Path) -> None:
    text = GOOD.replace("    protocol: test split\n", "").replace("{model: tiny,", "{model: tiny, protocol: dev split,")
    assert read_reference(written(tmp_path, text)).tables[0].numbers[0].protocol == "dev split"


def test_shares_that_a_source_prints_of_one_are_shown_in_points_as_ours_are(tmp_path: Path) -> None:
    text = GOOD.replace("    rows:", "    shares_of_one: true\n    rows:").replace("88.8", "0.4784")
    number = read_reference(written(tmp_path, text)).tables[0].numbers[0]
    assert (number.value, number.stored, number.show()) == (0.4784, 0.4784, "47.84")


def test_a_value_is_told_in_the_unit_of_records(tmp_path: Path) -> None:
    number = read_reference(written(tmp_path, GOOD)).tables[0].numbers[0]
    assert (number.stored, number.show()) == (pytest.approx(0.888), "88.8")
    [row] = read_reference(written(tmp_path, GOOD.replace("metric: accuracy, value: 88.8", "metric: memory.train_peak, value: 1073741824"))).tables[0].numbers
    assert (row.stored, row.show()) == (2**30, "1.00 GiB")
    [score] = read_reference(written(tmp_path, GOOD.replace("metric: accuracy", "metric: score"))).tables[0].numbers
    assert score.stored is None
