"""MMLU: the prompt character by character, shots that don't fit, and accuracies that add up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError
from harness.needs import ModelFacts
from harness.tasks.base import TASKS
from harness.tasks.mmlu import Mmlu
from harness.tasks.mmlu_metrics import accuracies
from harness.tasks.mmlu_prompts import HENDRYCKS, LM_EVAL, LM_EVAL_CONTINUATION
from harness.tasks.multiple_choice import too_long

SUBJECTS = ("abstract_algebra", "virology")


def question(subject: str, number: int) -> dict[str, Any]:
    return {"question": f"What is {number} + {number}?", "subject": subject, "choices": [str(2 * number + step) for step in range(4)], "answer": number % 4}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, count in (("dev", 5), ("test", 11), ("auxiliary_train", 9)):
        pd.DataFrame([question(subject, number) for subject in SUBJECTS for number in range(count)]).to_parquet(tmp_path / f"{split}.parquet")
    return tmp_path


def mmlu(data: Path | str, **fields: Any) -> Mmlu:
    task = TASKS.get("mmlu")(task="mmlu", data=str(data), **fields)
    assert isinstance(task, Mmlu)
    return task


def llama(context: int = 2048) -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(decoder_config(context=context)).eval()


def test_the_prompt_is_hendrycks() -> None:
    row, shots = question("abstract_algebra", 3), [question("abstract_algebra", 0), question("abstract_algebra", 1)]
    assert HENDRYCKS.prompt(row, shots) == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "What is 0 + 0?\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer: A\n\n"
        "What is 1 + 1?\nA. 2\nB. 3\nC. 4\nD. 5\nAnswer: B\n\n"
        "What is 3 + 3?\nA. 6\nB. 7\nC. 8\nD. 9\nAnswer:"
    )


def test_lm_evals_prompts_strip_the_question_and_nothing_else() -> None:
    row = question("high_school_us_history", 3) | {"question": "  What is 3?\n ", "choices": [" six", "7 ", "8", "9"]}
    assert LM_EVAL.prompt(row, [row]) == (
        "The following are multiple choice questions (with answers) about high school us history.\n\n"
        "What is 3?\nA.  six\nB. 7 \nC. 8\nD. 9\nAnswer: D\n\n"
        "What is 3?\nA.  six\nB. 7 \nC. 8\nD. 9\nAnswer:"
    )
    assert LM_EVAL_CONTINUATION.prompt(row, [row]) == (
        "The following are questions (with answers) about high school us history.\n\n"
        "Question: What is 3?\nAnswer: 9\n\nQuestion: What is 3?\nAnswer:"
    )
    assert LM_EVAL_CONTINUATION.answers(row) == ("  six", " 7 ", " 8", " 9")


def test_full_answers_need_the_prompt_that_shows_no_letters() -> None:
    with pytest.raises(ValueError, match=r"scoring: full-answer is lm-eval's mmlu_continuation.* it needs prompt: lm-eval"):
        mmlu("hub", scoring="full-answer")


def test_a_default_prompt_leaves_the_identity_of_old_cells() -> None:
    assert {"prompt", "scoring"} & set(mmlu("hub").identity()) == set()
    assert mmlu("hub", prompt="lm-eval").identity()["prompt"] == "lm-eval"


def test_an_empty_choice_has_no_full_answer(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    rows = [question("virology", 1), question("virology", 2) | {"choices": ["1", "", "3", "4"]}]
    pd.DataFrame(rows).to_parquet(data / "test.parquet")
    with pytest.raises(DataError, match=r"test.parquet: row 2 has an empty choice; scoring: full-answer needs every choice"):
        mmlu(data, prompt="lm-eval", scoring="full-answer").evaluate(llama(), context_of(decoder_tokenizer()))


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"answer": 4}, "row 2, column answer: outside the range"), ({"choices": ["1", "2", "3"]}, "row 2, column choices: a list of 3"), ({"choices": None}, "row 2, column choices: expected a list of 4")],
)
def test_rows_that_are_no_four_way_choice_are_refused(changed: dict[str, Any], message: str, data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    pd.DataFrame([question("virology", 1), question("virology", 2) | changed]).to_parquet(data / "test.parquet")
    with pytest.raises(DataError, match=message):
        mmlu(data, num_fewshot=0).evaluate(llama(), context_of(decoder_tokenizer()))


def test_full_answers_are_trained_on_as_they_are_asked(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    training = mmlu(data, prompt="lm-eval", scoring="full-answer").training_set(context_of(tokenizer, max_length=256))
    for row, source in zip(training.rows, [question(subject, number) for subject in SUBJECTS for number in range(9)], strict=True):
        assert tokenizer.decode(row["input_ids"][1:]) == f"{LM_EVAL_CONTINUATION.prompt(source, [])} {source['choices'][source['answer']]}"
        assert tokenizer.decode([token for token in row["labels"] if token != -100]) == f" {source['choices'][source['answer']]}"


def test_a_prompt_without_a_subject_names_none() -> None:
    assert HENDRYCKS.prompt({**question("", 1)}, []).startswith("The following are multiple choice questions (with answers).\n\nWhat is 1")


def test_accuracies_are_those_of_one_question_at_a_time(data: Path, causal_model: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    rows = [question(subject, number) for subject in SUBJECTS for number in range(11)]
    right = []
    with torch.inference_mode():
        for row in rows:
            prompt = HENDRYCKS.prompt(row, [question(row["subject"], 0)])
            scores = []
            for letter in "ABCD":
                ids = torch.tensor([tokenizer(f"{prompt} {letter}")["input_ids"]])
                likelihoods = causal_model(input_ids=ids[:, :-1]).logits[0].log_softmax(dim=-1)
                scores.append(float(likelihoods.gather(1, ids[0, 1:, None]).sum()))
            right.append(scores.index(max(scores)) == row["answer"])
        for batch in (1, 8):
            metrics = {metric.name: metric for metric in mmlu(data, num_fewshot=1).evaluate(causal_model, context_of(tokenizer, model_context=256, batch=batch))}
            assert metrics["accuracy"].value == pytest.approx(sum(right) / 22)
            assert metrics["accuracy:virology"].value == pytest.approx(sum(right[11:]) / 11)
            assert metrics["accuracy_macro"].value == pytest.approx((sum(right[:11]) / 11 + sum(right[11:]) / 11) / 2)
    assert 0 < sum(right) < 22


def test_micro_macro_and_every_subject_are_reported(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with torch.inference_mode():
        metrics = mmlu(data).evaluate(llama(), context_of(decoder_tokenizer(), model_context=2048))
    assert [(metric.name, metric.n) for metric in metrics] == [
        ("accuracy", 22), ("accuracy_macro", 22), ("accuracy:category-stem", 11), ("accuracy:category-other", 11), ("accuracy:abstract_algebra", 11), ("accuracy:virology", 11),
    ]
    assert {metric.protocol for metric in metrics} == {"mmlu/hendrycks-5shot-letter"}
    assert {metric.split for metric in metrics} == {"test"}
    assert all(metric.stderr is not None for metric in metrics)


def test_macro_is_the_mean_over_subjects_and_not_over_questions() -> None:
    found = list(accuracies("accuracy", ["a", "a", "a", "b"], [True, True, True, False], {}))
    assert {each.name: each.value for each in found} == {"accuracy": 0.75, "accuracy_macro": 0.5, "accuracy:a": 1.0, "accuracy:b": 0.0}
    assert found[0].items == [1.0, 1.0, 1.0, 0.0]
    assert found[1].stderr == 0.0, "subjects that are all right or all wrong have no error"


def test_a_category_is_over_the_questions_of_its_subjects() -> None:
    subjects = ["anatomy", "virology", "virology", "virology", "law"]
    found = {each.name: (each.value, each.n) for each in accuracies("accuracy", subjects, [True, False, False, False, True], {"stem": ["physics"], "other": ["virology", "anatomy"]})}
    assert found["accuracy:category-other"] == (0.25, 4)
    assert "accuracy:category-stem" not in found


def test_shots_that_do_not_fit_are_dropped_from_the_front_and_counted(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    row = question("virology", 7)
    two_shots = HENDRYCKS.prompt(row, [question("virology", 3), question("virology", 4)])
    room = len(tokenizer(two_shots)["input_ids"])
    context = context_of(tokenizer, model_context=room)
    (found,), shortened = mmlu(data)._questions([row], context)
    assert shortened
    assert tokenizer.decode(found.prompt[1:]) == two_shots
    assert context.notes == ["mmlu: 1 of 1 prompts had 3 of 5 shots dropped to fit the context"]


def test_a_question_too_long_by_itself_loses_its_beginning_and_is_counted(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    context = context_of(decoder_tokenizer(), model_context=40)
    with torch.inference_mode():
        model = llama(40)
        found = [mmlu(data).evaluate(model, context) for _ in ("before", "after")]
    assert context.notes.count("mmlu: 22 of 22 prompts without any shots were too long and lost their beginning") == 1
    assert {metric.protocol for metrics in found for metric in metrics} == {"mmlu/hendrycks-5shot-letter+shortened"}


def test_too_few_examples_in_dev_are_one_clear_message(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    pd.DataFrame([question("virology", 1)] * 4 + [question("abstract_algebra", 1)] * 5).to_parquet(data / "dev.parquet")
    with pytest.raises(DataError, match=r"dev.parquet: split dev has 4 rows of virology; num_fewshot: 5 needs as many"):
        mmlu(data).evaluate(llama(), context_of(decoder_tokenizer()))


def test_shots_are_told_as_such_and_not_as_evaluated(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    context = context_of(decoder_tokenizer(), model_context=2048)
    task = mmlu(data, num_fewshot=2, train_split="dev")
    task.look_at_evaluation_rows(context)
    task.training_set(context)
    with torch.inference_mode():
        task.evaluate(llama(), context)
    uses = {(use.role, use.split): use for use in context.used.uses()}
    assert {key: use.rows for key, use in uses.items()} == {("evaluation", "test"): 22, ("training", "dev"): 10, ("shots", "dev"): 4}
    assert uses["evaluation", "test"].trained_on == 10, "dev asks what the first five questions of test ask, in both subjects"


def test_dev_is_needed_for_shots_alone(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    (data / "dev.parquet").unlink()
    with pytest.raises(DataError, match="no file for the split dev"):
        mmlu(data).check_data()
    mmlu(data, num_fewshot=0).check_data()
    with torch.inference_mode():
        metrics = mmlu(data, num_fewshot=0).evaluate(llama(), context_of(decoder_tokenizer()))
    assert metrics[0].protocol == "mmlu/hendrycks-0shot-letter"


def test_training_takes_the_loss_on_the_letter_alone(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    training = mmlu(data).training_set(context_of(tokenizer, max_length=256))
    assert len(training.rows) == 18
    for row, source in zip(training.rows, [question(subject, number) for subject in SUBJECTS for number in range(9)], strict=True):
        assert tokenizer.decode(row["input_ids"][1:]) == f"{HENDRYCKS.prompt(source, [])} {'ABCD'[source['answer']]}"
        assert row["labels"][:-1] == [-100] * (len(row["input_ids"]) - 1)
        assert tokenizer.decode(row["labels"][-1:]) == f" {'ABCD'[source['answer']]}"


def test_training_prompts_longer_than_max_length_lose_their_beginning(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    context = context_of(decoder_tokenizer(), max_length=20)
    training = mmlu(data, max_train_samples=5).training_set(context)
    assert [len(row["input_ids"]) for row in training.rows] == [20] * 5
    assert "mmlu: 5 of 5 training prompts were too long and lost their beginning" in context.notes


def test_an_encoder_decoder_reads_the_prompt_and_answers_the_letter(data: Path, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import T5ForConditionalGeneration

    tokenizer = encoder_decoder_tokenizer()
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    assert mmlu(data).head(ModelFacts("t5", "encoder-decoder")).kind == "seq2seq-lm"
    with torch.inference_mode():
        values = [[metric.value for metric in mmlu(data).evaluate(model, context_of(tokenizer, "encoder-decoder", model_context=None, batch=batch))] for batch in (1, 8)]
    assert values[0] == values[1]
    training = mmlu(data).training_set(context_of(tokenizer, "encoder-decoder", max_length=30))
    batch = training.collator(training.rows[:4])
    assert batch["input_ids"].shape[1] == 30
    assert batch["input_ids"][:, -1].tolist() == [tokenizer.eos_token_id] * 4
    letters = [tokenizer.decode([token for token in labels if token != -100]).strip() for labels in batch["labels"].tolist()]
    assert letters == ["A", "B", "C", "D"]
    assert torch.isfinite(model(**batch).loss)


def test_an_encoder_is_unsupported_and_a_missing_training_split_too(shared_data: Path) -> None:
    assert "next token" in (mmlu("hub").unsupported(ModelFacts("bert", "encoder"), trains=False) or "")
    real = mmlu(shared_data)
    real.check_data()
    assert real.unsupported(None, trains=False) is None
    assert "auxiliary_train" in (real.unsupported(None, trains=True) or "")
    assert mmlu(shared_data, train_split="dev").unsupported(None, trains=True) is None


def test_the_real_questions_are_read_and_fit(shared_data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task = mmlu(shared_data)
    rows = list(task.source().load("test"))
    assert len(rows) == 14042
    assert len(Counter(row["subject"] for row in rows)) == 57
    context = context_of(decoder_tokenizer(), model_context=2048)
    questions, _ = task._questions(rows[::700], context)
    cut = too_long(questions, context)
    assert any(note.startswith(f"mmlu: {cut} of 21 prompts without any shots") for note in context.notes)
    assert all(len(answer) == 1 for found in questions for answer in found.answers)
