"""SuperGLUE on real heads: what a head reads, predictions of a plain loop, rows trained on, and data that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from data_files import write
from superglue_rows import ROWS, write_superglue
from tiny_models import decoder_config

from harness.errors import DataError
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Head
from harness.tasks.superglue import SuperGlue

EIGHT = ["boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"]
TEN = [*EIGHT, "axb", "axg"]


def superglue(name: str, folder: Path, rows: list[dict[str, Any]] | None = None, **fields: Any) -> SuperGlue:
    task = TASKS.get(f"superglue/{name}")(task=f"superglue/{name}", data=str(write_superglue(name, folder, rows)), **fields)
    assert isinstance(task, SuperGlue)
    return task


def classifier(labels: int) -> Any:
    from transformers import AutoModelForSequenceClassification

    config = decoder_config("llama", context=512)
    config.num_labels, config.pad_token_id = labels, 1
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).eval()


PAIRS = {
    "boolq": [("The answer is long. Nobody knew.", "is the answer long")],
    "cb": [("It was not known. I think the answer was A.", "the answer was A")],
    "copa": [
        ("My body cast a shadow over the grass. because", "The sun was rising."),
        ("My body cast a shadow over the grass. because", "The grass was cut."),
    ],
    "multirc": [("<b>Sent 1: </b>Susan was sick.<br><b>Sent 2: </b>She slept.", "Who slept? Susan")],
    "record": [
        ("Ann Lee met the Tigers in Rome.\n- Ann was there\n- Rome answered", f"The team called {entity} lost in Rome.")
        for entity in ("Ann Lee", "Rome", "Tigers", "Ann")
    ],
    "rte": [("The answer was found in Rome.", "Rome has the answer.")],
    "wic": [("Do you want to come over to my *place* later?", "A political system with no *place* for the less prominent.")],
    "wsc": [("Mark told Pete many lies about himself , which Pete included in his book . *He* should n't have .", "Mark")],
    "axb": [("The cat sat.", "The cat did not sit.")],
    "axg": [("The nurse asked him a question.", "He was asked.")],
}


@pytest.mark.parametrize("name", TEN)
def test_a_head_reads_pairs_and_its_predictions_are_a_plain_loops(name: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task = superglue(name, tmp_path)
    head = task.head(ModelFacts("x", "decoder"))
    assert head == Head("sequence-classification", 3 if name == "cb" else 2, "single_label_classification")
    rows = list(task.source().load(task.superglue.split))
    pairs = [task.superglue.pairs(row) for row in rows]
    assert pairs[0] == PAIRS[name]
    model, tokenizer = classifier(head.labels or 0), decoder_tokenizer()
    chosen = []
    with torch.inference_mode():
        for each in pairs:
            outputs = torch.stack([model(**tokenizer(first, "\n" + second, return_tensors="pt").to("cpu")).logits[0] for first, second in each])
            chosen.append(int((outputs[:, 1] - outputs[:, 0]).argmax() if name in ("copa", "record") else outputs[0].argmax()))
        metrics = {metric.name: metric for metric in task.evaluate(model, context_of(tokenizer, model_context=512, max_length=512))}
    assert list(metrics) == list(task.superglue.metrics)
    assert {(metric.protocol, metric.split) for metric in metrics.values()} == {(f"superglue/{name}/classification-head", task.superglue.split)}
    if name == "record":
        names = [list(dict.fromkeys(row["entities"]))[number] for row, number in zip(rows, chosen, strict=True)]
        assert metrics["exact_match"].value == np.mean([picked in row["answers"] for picked, row in zip(names, rows, strict=True)])
    elif "accuracy" in metrics:
        right = np.array(chosen) == [row["label"] for row in rows]
        assert metrics["accuracy"].value == pytest.approx(right.mean())
        assert metrics["accuracy"].items == right.tolist()
    elif name == "multirc":
        from sklearn.metrics import f1_score

        assert metrics["f1"].value == pytest.approx(f1_score([row["label"] for row in rows], chosen, zero_division=0))


@pytest.mark.parametrize("name", EIGHT)
def test_training_rows_carry_their_class_or_whether_a_candidate_is_right(name: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task = superglue(name, tmp_path)
    training = task.training_set(context_of(decoder_tokenizer(), max_length=256))
    expected = {"copa": [1, 0, 0, 1], "record": [0, 0, 1, 0, 1, 1, 0]}.get(name, [row.get("label") for row in ROWS[name]])
    assert [row["labels"] for row in training.rows] == expected
    loss = classifier(3 if name == "cb" else 2)(**training.collator(training.rows)).loss
    assert torch.isfinite(loss)


def test_the_diagnostics_are_evaluated_by_what_rte_trains(tmp_path: Path) -> None:
    for name in ("axb", "axg"):
        task = superglue(name, tmp_path)
        assert not task.trainable
        assert task.evaluation_splits() == ("test",)
        task.check_data()
        assert task.head(ModelFacts("x", "encoder")) == TASKS.get("superglue/rte")(task="superglue/rte").head(ModelFacts("x", "encoder"))


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".json"])
def test_every_format_gives_the_same_rows(name: str, suffix: str, tmp_path: Path) -> None:
    task = superglue(name, tmp_path)
    expected = list(task.source().load("validation"))
    (tmp_path / "validation.jsonl").unlink()
    write(tmp_path / f"validation{suffix}", ROWS[name])
    assert list(task.source().load("validation")) == expected


def test_the_hubs_folders_are_found_by_name(tmp_path: Path) -> None:
    for below, name in (("super_glue/wsc.fixed", "wsc"), ("SuperGLUE/BoolQ", "boolq")):
        (tmp_path / below).mkdir(parents=True)
        write_superglue(name, tmp_path / below)
    for name in ("wsc",):
        assert len(TASKS.get(f"superglue/{name}")(task=f"superglue/{name}", data=str(tmp_path / "super_glue")).local_files()) == 2
    assert len(TASKS.get("superglue/boolq")(task="superglue/boolq", data=str(tmp_path / "SuperGLUE")).local_files()) == 2


def test_the_real_rte_of_glue_is_read(shared_data: Path) -> None:
    task = TASKS.get("superglue/rte")(task="superglue/rte", data=str(shared_data / "glue" / "RTE"))
    rows = task.source().load("validation")  # type: ignore[attr-defined]
    real = pd.read_parquet(shared_data / "glue" / "RTE" / "validation.parquet")
    assert (len(rows), rows["premise"][5], rows["label"]) == (277, real["sentence1"][5], real["label"].tolist())


def test_what_a_row_asks_has_no_answer_in_it(tmp_path: Path) -> None:
    row = next(iter(superglue("record", tmp_path).source().load("train")))
    assert superglue("record", tmp_path).input_text(row) == f"{row['passage']}\n{row['query']}"


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("boolq", {"label": -1}, "row 1, column label: -1 marks a row without a label"),
        ("boolq", {"label": 2}, "row 1, column label: outside the range; expected one of 0 (False), 1 (True)"),
        ("boolq", {"label": None}, "row 1, column label: expected one of 0 (False), 1 (True); got nothing"),
        ("cb", {"label": 3}, "outside the range"),
        ("copa", {"question": "why"}, "column question: not a known class; expected one of 0 (cause), 1 (effect); got 'why'"),
        ("record", {"answers": []}, "row 1, column answers: a list of 0; expected a list of at least one text"),
        ("record", {"answers": None}, "column answers: expected a list of at least one text; got nothing"),
        ("record", {"entities": "Ann, Rome"}, "column entities: expected a list of at least one text"),
        ("multirc", {"idx": 3}, "column idx: expected an object with the whole numbers paragraph, question; got 3"),
        ("multirc", {"idx": {"paragraph": 0}}, "column idx: expected an object with the whole numbers paragraph, question"),
        ("wic", {"start1": -1}, "column start1: expected a whole number, 0 or more; got -1"),
        ("wic", {"end2": 1.5}, "column end2: expected a whole number, 0 or more; got 1.5"),
    ],
)
def test_a_value_that_cannot_be_is_found_by_the_plan(name: str, change: dict[str, Any], says: str, tmp_path: Path) -> None:
    task = superglue(name, tmp_path, [{**ROWS[name][0], **change}])
    with pytest.raises(DataError) as caught:
        task.check_data()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("copa", {"choice2": "  "}, "choice2 is empty; the row begins 'My body cast a shadow over the grass.'"),
        ("record", {"query": "nobody asked"}, "the query has no @placeholder; the row begins"),
        ("record", {"entities": ["Ann", ""]}, "an entity is empty"),
        ("wic", {"end1": 99}, "start1 and end1 are 31 and 99; expected a place within the 43 characters of sentence1"),
        ("wic", {"start2": 36}, "start2 and end2 are 36 and 32"),
        ("wsc", {"span2_text": ""}, "span2_text is empty"),
    ],
)
@pytest.mark.parametrize("form", ["head", "prompt"])
def test_a_row_that_cannot_be_asked_is_refused(name: str, change: dict[str, Any], says: str, form: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task = superglue(name, tmp_path, [{**ROWS[name][0], **change}], form=form)
    with pytest.raises(DataError) as caught:
        task.training_set(context_of(decoder_tokenizer()))
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_an_answer_key_that_is_missing_is_named(tmp_path: Path) -> None:
    without = [{key: value for key, value in ROWS["record"][0].items() if key != "answers"}]
    with pytest.raises(DataError, match="no column answers for superglue/record; it has passage, query, entities, idx"):
        superglue("record", tmp_path, without).check_data()


def test_empty_texts_are_read_like_any_other(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    rows = [{**ROWS["rte"][0], "premise": "", "hypothesis": ""}, ROWS["rte"][1]]
    with torch.inference_mode():
        (metric,) = superglue("rte", tmp_path, rows).evaluate(classifier(2), context_of(decoder_tokenizer()))
    assert metric.n == 2


def test_wscs_words_are_found_near_where_they_should_be_and_noted_where_they_are_not(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    off_by_one, absent = {**ROWS["wsc"][0], "span2_index": 14}, {**ROWS["wsc"][1], "span1_text": "Alice"}
    task = superglue("wsc", tmp_path, [off_by_one, absent])
    context = context_of(decoder_tokenizer(), max_length=256)
    task.training_set(context)
    assert "superglue/wsc: 1 of 2 rows have a span that their text does not hold; it stays unmarked" in context.notes
    asked = superglue("wsc", tmp_path, [off_by_one, absent], form="prompt")
    texts = [asked.texts(row)["text_marked"] for row in asked.source().load("train")]
    assert texts == [
        "* Mark * told Pete many lies about himself , which Pete included in his book . # He # should n't have .",
        "Bob asked Tom if # he # could lend some money.",
    ]


def test_a_megabyte_in_a_line_is_cut_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    rows = [{**ROWS["boolq"][0], "passage": "The following are questions about the answer. " * 22_000}, ROWS["boolq"][1]]
    context = context_of(decoder_tokenizer(), max_length=128)
    with torch.inference_mode():
        superglue("boolq", tmp_path, rows).evaluate(classifier(2), context)
    assert "1 of 2 rows were longer than max_length (128 tokens) and lost tokens from the end of the longer sentence" in context.notes
