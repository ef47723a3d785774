"""GSM8K and MetaMathQA as PEFT's method comparison runs them: prompt, rows, answers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import decoder_config

from harness.errors import DataError, Unsupported
from harness.micro import model_path
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Task
from harness.tasks.word_problems.answers import final_answer, same_answer
from harness.tasks.word_problems.solutions import prompt

QUESTION = {"question": "What is 1 + 1?", "answer": "1 and 1 make 2.\n#### 2"}


def task(name: str, data: Path | str = "micro", **fields: Any) -> Task:
    return TASKS.get(name)(task=name, data=str(data), **fields)


def written(folder: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Question: a?\nAnswer: It is $4^2 = 16$.The answer is: 16", "16"),
        ("so\n#### 1,080", "1,080"),
        ("The answer is: 5\nQuestion: b? The answer is: 6 apples.\nAnd so on.", "6 apples"),
        ("The answer is: 5\n#### 6", "5"),
        ("#### 6\nThe answer is 5", "5"),
        ("The final answer is: $50%.", "50"),
        ("The answer is:", None),
        ("I do not know", None),
        ("", None),
    ],
)
def test_the_final_answer_of_a_solution(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("found", "right", "same"),
    [
        ("2", "2", True), ("2.0", "2", True), ("1/2", "0.5", True), ("20/40", "1/2", True), ("1,000", "1,000", True),
        ("1000", "1,000", False), ("x", "x", True), ("x", "2", False), (None, "2", False), ("1/0", "1/0", True), ("1/0", "0", False),
        ("1/2/3", "0.5", False), ("", "2", False), ("sNaN", "2", False), ("9e999999/1e-999999", "2", False), ("1 / 3", "0.3333", False),
    ],
)  # fmt: skip
def test_answers_are_compared_as_numbers_and_else_as_texts(found: str | None, right: str, same: bool) -> None:
    assert same_answer(found, right) is same


def test_the_prompt_is_pefts() -> None:
    assert prompt("How many?") == "Question: How many? Think step by step.\nAnswer:"


def test_a_row_is_one_text_with_the_loss_on_all_of_it_and_an_end(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    written(tmp_path, "train", [{"query": "How many?", "response": "Two. The answer is: 2", "type": "GSM_Rephrased"}])
    (row,) = task("metamathqa", tmp_path).training_set(context_of(tokenizer, max_length=256)).rows
    text = "Question: How many? Think step by step.\nAnswer:Two. The answer is: 2"
    assert row["input_ids"] == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    assert row["labels"] == row["input_ids"]


def test_the_loss_on_solutions_alone(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    written(tmp_path, "train", [QUESTION])
    (row,) = task("gsm8k", tmp_path, train_on_prompt=False).training_set(context_of(tokenizer, max_length=256)).rows
    assert tokenizer.decode([token for token in row["labels"] if token != -100]) == "1 and 1 make 2.\n#### 2</s>"
    assert tokenizer.decode(row["input_ids"]).startswith("<s>Question: What is 1 + 1? Think step by step.\nAnswer:1 and")


def test_rows_that_are_too_long_are_left_out_or_cut_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    rows = [{"query": "q" * (1300 - 1 - 5), "response": "r" * 5}, {"query": "q" * 1300, "response": "r" * 5}, {"query": "q", "response": " "}]
    written(tmp_path, "train", rows)
    context = context_of(decoder_tokenizer(), max_length=40)
    (row,) = task("metamathqa", tmp_path).training_set(context).rows
    assert len(row["input_ids"]) == 40
    assert row["input_ids"][-1] != context.tokenizer.eos_token_id
    assert "metamathqa: 2 of 3 rows are empty or have more than 1300 characters, and were left out" in context.notes
    assert "metamathqa: 1 of 1 rows were too long and lost their end" in context.notes
    with pytest.raises(DataError, match="none of its 3 rows has a solution and at most 5 characters"):
        task("metamathqa", tmp_path, max_characters=5).training_set(context)


@pytest.mark.parametrize("answer", ["1 and 1 make 2.", "#### ", "", None, 2])
def test_a_solution_without_a_final_answer_is_refused(tmp_path: Path, answer: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    written(tmp_path, "test", [QUESTION, {**QUESTION, "answer": answer}])
    with pytest.raises(DataError, match=r"test.jsonl: row 2, column answer: expected a"):
        task("gsm8k", tmp_path).evaluate(None, context_of(decoder_tokenizer()))


def test_the_score_is_that_of_the_texts_that_the_model_generates(tmp_path: Path, context_of: Any) -> None:
    """What transformers' own generate writes, row by row and unpadded, decides which answers are right."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path("decoder"))
    model = AutoModelForCausalLM.from_pretrained(model_path("decoder"), dtype=torch.float32).eval()
    questions = ["When was Karl Lorven born? The answer is 7", "Where?"]
    texts = []
    with torch.inference_mode():
        for question in questions:
            ids = tokenizer(prompt(question), return_tensors="pt")["input_ids"]
            texts.append(tokenizer.decode(model.generate(input_ids=ids, max_new_tokens=300, do_sample=False)[0], skip_special_tokens=True))
    found = [final_answer(text) for text in texts]
    answers = [found[0] or "none", "never"]
    written(tmp_path, "test", [{"question": question, "answer": f"#### {answer}"} for question, answer in zip(questions, answers, strict=True)])
    context = context_of(tokenizer, model_context=512, batch=3)
    with torch.inference_mode():
        (metric,) = task("gsm8k", tmp_path).evaluate(model, context)
    assert found[0] is not None
    assert metric.items == [1.0, 0.0]
    assert (metric.value, metric.n, metric.protocol) == (0.5, 2, "gsm8k/peft-metamath")
    assert found[1] is None
    assert "gsm8k: 1 of 2 solutions name no final answer" in context.notes


def test_a_prompt_that_the_context_cannot_hold_is_another_protocol(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    written(tmp_path, "test", [{**QUESTION, "question": "long " * 100}])
    context = context_of(decoder_tokenizer(), model_context=340)
    torch.manual_seed(0)
    with torch.inference_mode():
        (metric,) = task("gsm8k", tmp_path).evaluate(LlamaForCausalLM(decoder_config(context=340)).eval(), context)
    assert metric.protocol == "gsm8k/peft-metamath+shortened"
    assert "gsm8k: 1 of 1 prompts were too long and lost their end" in context.notes


def test_what_cannot_be_done_is_said(decoder_tokenizer: Any, context_of: Any) -> None:
    t5, bert = ModelFacts("t5", "encoder-decoder"), ModelFacts("bert", "encoder")
    for name in ("gsm8k", "metamathqa"):
        assert "set train_on_prompt: false" in (task(name).unsupported(t5, trains=True) or "")
        assert task(name, train_on_prompt=False).unsupported(t5, trains=True) is None
        assert "encoder cannot" in (task(name).unsupported(bert, trains=True) or "")
        task(name).check_data()
    tokenizer = decoder_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(Unsupported, match="no end-of-text token"):
        task("gsm8k").training_set(context_of(tokenizer))
