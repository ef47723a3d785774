"""The embedded data sets: what the real ones' columns are, and that the grammar writes the same rows every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.errors import UnknownName
from harness.micro import DATA_SETS, data_path, model_path
from harness.micro.articles import article_rows, joined
from harness.micro.corpus import documents, passages
from harness.micro.datasets import COLUMNS, splits
from harness.micro.quiz import SHOTS, SUBJECTS
from harness.micro.world import make_world

GLUE = tuple(name for name in DATA_SETS if name.startswith("glue/"))
PAIR = {"sentence1": "large_string", "sentence2": "large_string", "label": "int64", "idx": "int64"}
REAL_COLUMNS = {
    "wikitext": {"text": "large_string"},
    "glue/cola": {"sentence": "large_string", "label": "int64", "idx": "int64"},
    "glue/sst2": {"sentence": "large_string", "label": "int64", "idx": "int64"},
    "glue/mrpc": PAIR,
    "glue/rte": PAIR,
    "glue/stsb": {**PAIR, "label": "float"},
    "mmlu": {"question": "large_string", "subject": "large_string", "choices": "list<element: string>", "answer": "int64"},
    "alpaca": dict.fromkeys(("instruction", "input", "output"), "large_string"),
    "gsm8k": {"question": "string", "answer": "string"},
    "metamathqa": {"query": "string", "response": "string"},
    "squad": {
        **dict.fromkeys(("id", "title", "context", "question"), "string"),
        "answers": "struct<text: list<element: string>, answer_start: list<element: int32>>",
    },
}
SPLITS = {"mmlu": {"dev", "test"}, "alpaca": {"train"}, "gsm8k": {"train", "test"}, "metamathqa": {"train"}, "squad": {"train", "validation"}}
REAL_FILES = {
    "wikitext": "wikitext2/test.parquet", "glue/cola": "glue/CoLA/train.parquet", "glue/sst2": "glue/SST-2/train.parquet",
    "glue/mrpc": "glue/MRPC/train.parquet", "glue/rte": "glue/RTE/train.parquet", "mmlu": "mmlu/test.parquet",
}


def columns(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def rows(name: str, split: str) -> list[dict]:
    return pq.read_table(data_path(name) / f"{split}.parquet").to_pylist()


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_split_has_the_columns_of_the_real_data_set(name: str) -> None:
    expected = SPLITS.get(name, {"train", "validation", "test"})
    files = sorted(data_path(name).glob("*.parquet"))
    assert {path.stem for path in files} == expected
    assert all(columns(path) == REAL_COLUMNS[name] for path in files)


@pytest.mark.parametrize("name", REAL_FILES)
def test_the_columns_are_those_of_the_real_files(name: str, shared_data: Path) -> None:
    real = columns(shared_data / REAL_FILES[name])
    assert all(columns(path) == real for path in data_path(name).glob("*.parquet"))


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_grammar_writes_the_rows_that_are_embedded(name: str) -> None:
    for split, made in splits(name).items():
        kept = rows(name, split)
        if name == "glue/stsb":  # stored as the hub does, in 32 bits
            kept = [{**row, "label": round(row["label"], 1)} for row in kept]
        assert made == kept
        assert list(made[0]) == list(COLUMNS[name])


def test_the_rows_do_not_depend_on_the_process() -> None:
    code = "from harness.micro.datasets import splits; import hashlib, json; print(hashlib.sha256(json.dumps(splits('glue/rte')).encode()).hexdigest())"
    seen = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[2],
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_the_corpus_is_a_function_of_its_seed() -> None:
    world = make_world()
    for stream in (documents, passages):
        one, again, other = stream(world, 1), stream(world, 1), stream(world, 2)
        assert [next(one) for _ in range(20)] == [next(again) for _ in range(20)] != [next(other) for _ in range(20)]


@pytest.mark.parametrize("name", GLUE)
def test_no_text_is_in_two_splits_and_labels_are_spread_as_in_the_real_task(name: str) -> None:
    texts = [tuple(v for v in row.values() if isinstance(v, str)) for split in ("train", "validation", "test") for row in rows(name, split)]
    assert len(set(texts)) == len(texts)
    labels = [row["label"] for row in rows(name, "train")]
    share = {"glue/cola": 0.70, "glue/sst2": 0.55, "glue/mrpc": 0.67, "glue/rte": 0.5}.get(name)
    if share is None:
        assert min(labels) == 0.0
        assert max(labels) == 5.0
    else:
        assert set(labels) == {0, 1}
        assert sum(labels) / len(labels) == pytest.approx(share, abs=0.05)


def test_wikitext_rows_look_like_wikitext() -> None:
    texts = [row["text"] for row in rows("wikitext", "test")]
    assert texts[:3] == ["", texts[1], ""]
    assert texts[1].startswith(" = ")
    assert texts[1].endswith(" = \n")
    assert all(text == "" or (text.startswith(" ") and text.endswith(" \n")) for text in texts)
    assert any(text.startswith(" = = ") for text in texts)


def test_held_out_articles_tell_the_same_facts_in_other_words() -> None:
    train = {row["text"] for row in rows("wikitext", "train") if row["text"] and not row["text"].startswith(" =")}
    test = [row["text"] for row in rows("wikitext", "test") if row["text"] and not row["text"].startswith(" =")]
    assert sum(text in train for text in test) / len(test) < 0.2


def test_mmlu_has_five_shots_for_every_subject_and_true_answers() -> None:
    dev, test = rows("mmlu", "dev"), rows("mmlu", "test")
    world = make_world()
    by_name = {entity.name: entity for entity in world.entities}
    for name, subject in SUBJECTS.items():
        assert sum(row["subject"] == name for row in dev) == SHOTS
        assert sum(row["subject"] == name for row in test) >= 30
        for row in (row for row in (*dev, *test) if row["subject"] == name):
            entity = next(by_name[known] for known in sorted(by_name, key=len, reverse=True) if known in row["question"])
            assert len(set(row["choices"])) == 4
            assert row["choices"][row["answer"]] == entity.facts[subject.attribute]
    assert not {row["question"] for row in dev} & {row["question"] for row in test}


def test_instructions_are_answered_with_the_worlds_facts() -> None:
    facts = {value for entity in make_world().entities for value in entity.facts.values()}
    made = rows("alpaca", "train")
    assert all(row["output"] in facts for row in made if row["input"])
    assert 0.2 < sum(bool(row["input"]) for row in made) / len(made) < 0.5
    assert len({(row["instruction"], row["input"], row["output"]) for row in made}) == len(made)


def test_word_problems_are_solved_with_the_worlds_years_and_none_is_asked_twice() -> None:
    years = {entity.facts["year"] for entity in make_world().entities if "year" in entity.facts}
    asked = [row for split in ("train", "test") for row in rows("gsm8k", split)]
    rephrased = rows("metamathqa", "train")
    assert {row["answer"].partition("#### ")[2] for row in asked} | {row["response"].partition("The answer is: ")[2] for row in rephrased} <= years
    questions = [row["question"] for row in asked] + [row["query"] for row in rephrased]
    assert len(set(questions)) == len(questions)


def test_the_answers_to_read_stand_where_squad_says() -> None:
    made = [row for split in ("train", "validation") for row in rows("squad", split)]
    assert len({row["id"] for row in made}) == len({(row["context"], row["question"]) for row in made}) == len(made)
    for row in made:
        (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert row["context"][start : start + len(text)] == text


def test_articles_tell_every_fact_of_their_entity() -> None:
    import random

    world = make_world()
    text = joined(article_rows(world, len(world.entities), random.Random(0)))
    assert all(entity.facts[subject.attribute] in text for subject in SUBJECTS.values() for entity in world.of_kind(subject.kind))


def test_unknown_names_say_which_is_near() -> None:
    with pytest.raises(UnknownName, match="did you mean glue/sst2"):
        data_path("glue/sst")
    with pytest.raises(UnknownName, match="did you mean decoder"):
        model_path("decodr")


def test_the_package_imports_neither_torch_nor_pandas() -> None:
    code = "import sys, harness.micro, harness.micro.build; assert not {'torch', 'pandas', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
