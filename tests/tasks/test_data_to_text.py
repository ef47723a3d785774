"""Data to text: prompts character by character, references by input, metrics as the libraries give them, rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.data_to_text import DataToText, linearised

ContextOf = Callable[..., TaskContext]
FAST = {"num_beams": 1, "max_new_tokens": 8}
ROWS = [
    {"meaning_representation": "name : Blue Spice | Type : pub", "human_reference": "Blue Spice is a pub ."},
    {"meaning_representation": "name : Giraffe | area : riverside", "human_reference": "Giraffe is by the river ."},
    {"meaning_representation": "name : Blue Spice | Type : pub", "human_reference": "A pub is Blue Spice ."},
    {"meaning_representation": "name : The Mill", "human_reference": "There is The Mill ."},
]


def task(name: str, data: Path | str, **fields: Any) -> DataToText:
    found = TASKS.get(name)(task=name, data=str(data), **fields)
    assert isinstance(found, DataToText)
    return found


@pytest.fixture
def e2e(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        pd.DataFrame(ROWS).to_parquet(tmp_path / f"{split}.parquet")
    return tmp_path


@pytest.fixture(autouse=True)
def _without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes half a minute to start; tests/tasks/test_generation_scores.py looks at it."""
    monkeypatch.setattr("harness.tasks.generation.coco.missing", lambda: "not looked at here")


def llama() -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(decoder_config()).eval()


def test_a_decoder_reads_the_data_and_the_token_that_begins_texts_then_the_text_after_a_blank(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    rows = task("e2e", e2e).training_set(context_of(tokenizer, max_length=128)).rows
    assert [tokenizer.decode(row["input_ids"]) for row in rows][:2] == [
        "<s>name : Blue Spice | Type : pub<s> Blue Spice is a pub .</s>",
        "<s>name : Giraffe | area : riverside<s> Giraffe is by the river .</s>",
    ]
    assert [tokenizer.decode([label for label in row["labels"] if label != -100]) for row in rows][1] == " Giraffe is by the river .</s>"


def test_an_encoder_decoder_reads_the_data_alone(e2e: Path, encoder_decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = encoder_decoder_tokenizer()
    training = task("e2e", e2e, source_prefix="tell: ").training_set(context_of(tokenizer, "encoder-decoder", max_length=128))
    assert [row["input_ids"] for row in training.rows] == [tokenizer("tell: " + row["meaning_representation"])["input_ids"] for row in ROWS]
    assert [row["labels"] for row in training.rows] == [tokenizer(row["human_reference"])["input_ids"] for row in ROWS]


@pytest.mark.parametrize(
    ("meaning", "expected"),
    [
        ("name[The Vaults], eatType[pub], priceRange[more than £30], customer rating[5 out of 5], familyFriendly[yes]", "name : The Vaults | Type : pub | price : more than £30 | customer rating : 5 out of 5 | family friendly : yes"),
        ("name : Blue Spice | Type : coffee shop", "name : Blue Spice | Type : coffee shop"),
        ("name[The Vaults], and more", "name[The Vaults], and more"),
        ("", ""),
    ],
)
def test_the_hubs_meaning_representations_are_written_as_loras_files_have_them(meaning: str, expected: str) -> None:
    assert linearised(meaning) == expected


def test_the_references_of_one_input_are_taken_together_wherever_they_stand(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    chosen, context = task("e2e", e2e), context_of(decoder_tokenizer())
    asked = chosen.asked(chosen.evaluation_rows("test", context), context)
    assert [item.references for item in asked] == [("Blue Spice is a pub .", "A pub is Blue Spice ."), ("Giraffe is by the river .",), ("There is The Mill .",)]
    first = task("e2e", e2e, max_eval_samples=1)
    assert [item.references for item in first.asked(first.evaluation_rows("test", context), context)] == [("Blue Spice is a pub .", "A pub is Blue Spice .")]


def test_metrics_are_those_of_the_texts_that_the_model_writes(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer, model = decoder_tokenizer(), llama()
    context = context_of(tokenizer)
    texts = []
    for source in ("name : Blue Spice | Type : pub", "name : Giraffe | area : riverside", "name : The Mill"):
        ids = torch.tensor([[*tokenizer(source)["input_ids"], 0]])
        texts.append(tokenizer.decode(model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=1)[0, ids.shape[1] :], skip_special_tokens=True).split("\n\n")[0].strip())
    references = [[ROWS[0]["human_reference"], ROWS[2]["human_reference"]], [ROWS[1]["human_reference"]], [ROWS[3]["human_reference"]]]
    with torch.inference_mode():
        metrics = {metric.name: metric for metric in task("e2e", e2e, **FAST, no_repeat_ngram_size=0).evaluate(model, context)}
    assert list(metrics) == ["bleu", "nist", "rouge_l", "meteor", "cider", "rouge_l_coco"]
    columns = [[row[number] if number < len(row) else None for row in references] for number in range(2)]
    assert metrics["bleu"].value == pytest.approx(sacrebleu.corpus_bleu(texts, columns, lowercase=True).score / 100)
    scorer = RougeScorer(["rougeL"])
    assert metrics["rouge_l"].items == pytest.approx([max(scorer.score(reference, text)["rougeL"].fmeasure for reference in row) for text, row in zip(texts, references, strict=True)])
    assert {metric.n for metric in metrics.values()} == {3}
    assert metrics["meteor"].value is None
    assert "e2e: not looked at here" in context.notes


def test_protocols_name_scorer_decoding_and_what_differs_from_the_benchmark(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    assert (task("e2e", e2e).decoding.id, task("webnlg", e2e).decoding.id) == ("beam10-lp0.9-norepeat4-64", "beam10-lp0.8-norepeat4-64")
    context = context_of(decoder_tokenizer())
    assert task("e2e", e2e)._protocol("coco", context, False) == "e2e/coco/beam10-lp0.9-norepeat4-64"
    other = task("e2e", e2e, **FAST, source_suffix=" =>", max_eval_samples=2)
    assert other._protocol("nltk-13a-lc", context, True) == "e2e/nltk-13a-lc/greedy-norepeat4-8+first-2-items+own-prompt+shortened"
    assert "+own-prompt" not in task("e2e", e2e, source_suffix="<s>")._protocol("coco", context, False)


def test_triples_are_written_as_lora_writes_them_with_gems_references(tmp_path: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    web = [{"input": ["Ajax | ground | Arena", "Ajax | league | Eredivisie"], "target": "Ajax play.", "references": ["Ajax play.", "", "They play."]}]
    dart = [{"tripleset": [["Mars Hill", "JOINED", "1973"]], "target": "It joined.", "references": []}]
    for name, rows in (("webnlg", web), ("dart", dart)):
        (tmp_path / name).mkdir()
        for split in ("train", "test"):
            pd.DataFrame(rows).to_json(tmp_path / name / f"{split}.jsonl", orient="records", lines=True)
    context = context_of(decoder_tokenizer())
    found = [chosen.asked(chosen.evaluation_rows("test", context), context)[0] for chosen in (task("webnlg", tmp_path), task("dart", tmp_path))]
    assert (found[0].source, found[0].references) == ("Ajax : ground : Arena | Ajax : league : Eredivisie", ("Ajax play.", "They play."))
    assert (found[1].source, found[1].references) == ("Mars Hill : joined : 1973", ("It joined.",))


def test_a_triple_that_is_none_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('{"input": ["only | two"], "target": "t", "references": []}\n')
    with pytest.raises(DataError, match=r"test.jsonl: row 1, column input: no triple: \['only', 'two'\]; expected a list of triples"):
        task("webnlg", tmp_path).check_data()


def test_rows_without_input_or_text_are_left_out_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    rows = [*ROWS, {"meaning_representation": " ", "human_reference": "Nothing ."}, {"meaning_representation": "name : Zizzi", "human_reference": ""}]
    for split in ("train", "test"):
        pd.DataFrame(rows).to_parquet(tmp_path / f"{split}.parquet")
    context = context_of(decoder_tokenizer())
    chosen = task("e2e", tmp_path)
    assert len(chosen.training_set(context).rows) == 4
    assert len(chosen.asked(chosen.evaluation_rows("test", context), context)) == 3
    assert "e2e: 2 of 6 training rows have no input or no target and were left out" in context.notes
    assert "e2e: 2 of 5 items have no input or no reference and were left out" in context.notes
    pd.DataFrame(rows[4:]).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"test.parquet: all 2 items have no input or no reference"):
        chosen.evaluate(llama(), context)


def test_a_prompt_that_does_not_fit_is_counted_and_makes_another_protocol(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    context = context_of(decoder_tokenizer(), model_context=30)
    with torch.inference_mode():
        metrics = task("e2e", e2e, **FAST).evaluate(llama(), context)
    assert metrics[0].protocol.endswith("+shortened")
    assert "e2e, test: 2 of 3 prompts were too long and lost their end" in context.notes


def test_an_encoder_is_unsupported(e2e: Path) -> None:
    assert "generated token by token" in (task("e2e", e2e).unsupported(ModelFacts("bert", "encoder"), trains=False) or "")


def test_a_tokenizer_without_such_a_token_separates_by_a_line_break(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token = "</s>", None, None
    context = context_of(tokenizer, max_length=128)
    rows = task("e2e", e2e).training_set(context).rows
    assert tokenizer.decode(rows[3]["input_ids"]) == "<s>name : The Mill\n There is The Mill ."
    assert any("line break" in note for note in context.notes)


def test_what_is_evaluated_and_trained_on_is_told_apart_by_the_input(e2e: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    pd.DataFrame(ROWS[1:2]).to_parquet(e2e / "train.parquet")
    context, chosen = context_of(decoder_tokenizer()), task("e2e", e2e)
    chosen.training_set(context)
    chosen.look_at_evaluation_rows(context)
    (evaluated,) = [use for use in context.used.uses() if use.role == "evaluation"]
    assert (evaluated.rows, evaluated.trained_on) == (4, 1)


def test_the_real_test_split_has_630_inputs_and_4693_references(shared_data: Path, decoder_tokenizer: Any, context_of: ContextOf) -> None:
    chosen, context = task("e2e", shared_data), context_of(decoder_tokenizer())
    asked = chosen.asked(chosen.evaluation_rows("test", context), context)
    assert (len(asked), sum(len(item.references) for item in asked)) == (630, 4693)
    chosen.check_data()


def test_an_encoder_decoder_is_trained_and_evaluated(e2e: Path, encoder_decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    context = context_of(encoder_decoder_tokenizer(), "encoder-decoder")
    training = task("e2e", e2e).training_set(context)
    assert torch.isfinite(model(**training.collator(training.rows)).loss)
    with torch.inference_mode():
        assert {metric.n for metric in task("e2e", e2e, **FAST).evaluate(model, context)} == {3}
