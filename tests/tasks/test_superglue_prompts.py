"""SuperGLUE asked as prompts: T5's and lm-eval's texts to the letter, likelihoods of lm-eval on the same model, rows trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval_prompts import lm_eval_task, lm_eval_texts
from superglue_rows import ROWS, write_superglue
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError
from harness.tasks.base import TASKS
from harness.tasks.superglue import SuperGlue

EIGHT = ["boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"]


def asked(name: str, folder: Path, **fields: Any) -> SuperGlue:
    task = TASKS.get(f"superglue/{name}")(task=f"superglue/{name}", data=str(write_superglue(name, folder)), form="prompt", **fields)
    assert isinstance(task, SuperGlue)
    return task


def rows_of(task: SuperGlue) -> list[dict[str, Any]]:
    return list(task.source().load(task.superglue.split))


def texts_of(task: SuperGlue, kind: str = "encoder-decoder") -> list[str]:
    return [task.template_of(kind).filled(task.texts(row)) for row in rows_of(task)]


@pytest.fixture(scope="module")
def decoder() -> Any:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(decoder_config("llama", context=512)).eval()


T5_TEXTS = {
    "boolq": "boolq passage: The answer is long. Nobody knew. question: is the answer long",
    "cb": "cb hypothesis: the answer was A premise: It was not known. I think the answer was A.",
    "copa": "copa choice1: The sun was rising. choice2: The grass was cut. premise: My body cast a shadow over the grass. question: cause",
    "multirc": "multirc question: Who slept? answer: Susan paragraph: Sent 1: Susan was sick. Sent 2: She slept.",
    "record": "record query: The team called @placeholder lost in Rome. entities: Ann Lee, Rome, Tigers, Ann, Rome passage: Ann Lee met the Tigers in Rome. Ann was there. Rome answered",
    "rte": "rte hypothesis: Rome has the answer. premise: The answer was found in Rome.",
    "wic": "wic sentence1: Do you want to come over to my place later? sentence2: A political system with no place for the less prominent. word: place",
    "wsc": "wsc text: * Mark * told Pete many lies about himself , which Pete included in his book . # He # should n't have .",
    "axb": "rte hypothesis: The cat did not sit. premise: The cat sat.",
    "axg": "rte hypothesis: He was asked. premise: The nurse asked him a question.",
}


@pytest.mark.parametrize("name", list(T5_TEXTS))
def test_t5s_texts_are_those_of_its_code(name: str, tmp_path: Path) -> None:
    task = asked(name, tmp_path)
    assert texts_of(task)[0] == T5_TEXTS[name]
    assert texts_of(task, "decoder")[0] == T5_TEXTS[name] + "\nanswer:"
    assert task.answer_protocol() == f"superglue/{name}/prompt-likelihood"


def lm_evals_t5(name: str, folder: Path) -> list[str]:
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml
    from lm_eval.utils import apply_template

    path = Path(lm_eval.tasks.__file__).parent / "super_glue" / name / "t5-prompt.yaml"
    ask = load_yaml(path, resolve_func=True)["doc_to_text"]
    return [ask(row) if callable(ask) else apply_template(ask, row) for row in ROWS[name]]


@pytest.mark.parametrize("name", ["boolq", "cb", "copa", "record", "rte", "wic"])
def test_t5s_texts_are_also_lm_evals_rendering_of_them(name: str, tmp_path: Path) -> None:
    """multirc (HTML left in) and wsc (another of T5's two forms) differ there."""
    assert texts_of(asked(name, tmp_path)) == lm_evals_t5(name, tmp_path)


@pytest.mark.parametrize("name", EIGHT)
def test_lm_evals_form_is_lm_evals_to_the_letter(name: str, tmp_path: Path) -> None:
    task = asked(name, tmp_path, prompts="lm-eval")
    document = lm_eval_task(f"super_glue/{name}", ROWS[name], tmp_path)
    theirs = lm_eval_texts(document)
    rows = rows_of(task)
    ours = [[f"{prompt}{'' if prompt[-1:].isspace() else ' '}{answer}" for answer in task.answers(row)] for prompt, row in zip(texts_of(task), rows, strict=True)]
    if name == "multirc":  # lm-eval lists `yes` first and reads the label 0 (False) as it
        ours = [each[::-1] for each in ours]
    if name == "record":  # lm-eval sorts
        ours = [sorted(each) for each in ours]
        theirs = [(sorted(each), target) for each, target in theirs]
    if name == "copa":  # lm-eval writes two blanks before a choice
        theirs = [([text.replace("  ", " ") for text in each], target) for each, target in theirs]
    assert ours == [texts for texts, _ in theirs]
    assert task.answer_protocol() == f"superglue/{name}/lm-eval-prompt-likelihood"


@pytest.mark.parametrize("name", ["boolq", "record"])
def test_likelihoods_are_lm_evals_on_the_same_model(name: str, tmp_path: Path, decoder: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    from lm_eval.models.huggingface import HFLM

    tokenizer = decoder_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    task = asked(name, tmp_path, prompts="lm-eval")
    document = lm_eval_task(f"super_glue/{name}", ROWS[name], tmp_path)
    harness = HFLM(pretrained=decoder, tokenizer=tokenizer, device="cpu", max_length=512, add_bos_token=True)
    requests = [request for place, row in enumerate(document.validation_docs()) for request in document.construct_requests(row, document.doc_to_text(row), doc_id=place, metadata=(name, place, 1))]
    expected = {"".join(request.args): score for request, (score, _) in zip(requests, harness.loglikelihood(requests, disable_tqdm=True), strict=True)}
    rows = rows_of(task)
    with torch.inference_mode():
        found, _ = task.answer_likelihoods(decoder, rows, context_of(tokenizer, model_context=512))
    for prompt, row, scores in zip(texts_of(task), rows, found, strict=True):
        theirs = np.array([expected[f"{prompt}{'' if prompt[-1:].isspace() else ' '}{answer}"] for answer in task.answers(row)])
        if prompt.endswith("\n"):  # lm-eval scores the line breaks at a prompt's end too, the same for every answer
            scores, theirs = scores - scores[0], theirs - theirs[0]
        np.testing.assert_allclose(scores, theirs, atol=2e-3)


@pytest.mark.parametrize("name", [*EIGHT, "axb", "axg"])
@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_every_task_is_evaluated_and_its_prediction_is_the_likeliest_answer(name: str, kind: str, tmp_path: Path, decoder: Any, request: pytest.FixtureRequest, context_of: Any) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(1)
    model = decoder if kind == "decoder" else T5ForConditionalGeneration(encoder_decoder_config()).eval()
    tokenizer = request.getfixturevalue("decoder_tokenizer" if kind == "decoder" else "encoder_decoder_tokenizer")()
    task = asked(name, tmp_path)
    context = context_of(tokenizer, kind, model_context=512 if kind == "decoder" else None)
    rows = rows_of(task)
    with torch.inference_mode():
        metrics = {metric.name: metric for metric in task.evaluate(model, context)}
        likeliest = [likeliest_by_hand(model, tokenizer, task, row, kind) for row in rows]
    assert list(metrics) == list(task.superglue.metrics)
    assert {metric.protocol for metric in metrics.values()} == {f"superglue/{name}/prompt-likelihood"}
    if name == "record":
        assert metrics["exact_match"].value == np.mean([answer in row["answers"] for answer, row in zip(likeliest, rows, strict=True)])
    elif "accuracy" in metrics:
        assert metrics["accuracy"].value == pytest.approx(np.mean([task.answers(row)[row["label"]] == answer for answer, row in zip(likeliest, rows, strict=True)]))


def likeliest_by_hand(model: Any, tokenizer: Any, task: SuperGlue, row: dict[str, Any], kind: str) -> str:
    """One plain, unpadded pass per candidate."""
    prompt = task.template_of(kind).filled(task.texts(row))
    ended = [1] if task.superglue.name == "record" else []
    scores = {}
    for answer in task.answers(row):
        if kind == "encoder-decoder":
            target = tokenizer(answer, add_special_tokens=False)["input_ids"] + ended
            logits = model(input_ids=tokenizer(prompt, return_tensors="pt")["input_ids"], decoder_input_ids=torch.tensor([[0, *target[:-1]]])).logits[0]
        else:
            before, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {answer}")["input_ids"] + ended
            target = whole[len(before) :]
            logits = model(input_ids=torch.tensor([whole])).logits[0, len(before) - 1 : -1]
        likelihoods = logits.log_softmax(dim=-1)
        scores[answer] = sum(float(likelihoods[place, token]) for place, token in enumerate(target))
    return max(scores, key=lambda answer: scores[answer])


def told(row: dict[str, Any], tokenizer: Any) -> str:
    text: str = tokenizer.decode([token for token in row["labels"] if token != -100])
    return text


def test_record_trains_on_each_right_answer_among_the_wrong_ones(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task, tokenizer = asked("record", tmp_path), decoder_tokenizer()
    plain = task.training_set(context_of(tokenizer, max_length=512))
    assert [told(row, tokenizer) for row in plain.rows] == [" Tigers</s>", " Bob Ray</s>", " Ray</s>"]
    chosen = task.training_set(replace(context_of(tokenizer, max_length=512), choices=True))
    answers = [[told(each, tokenizer) for each in row["choices"]] for row in chosen.rows]
    assert answers[0] == [" Tigers</s>", " Ann Lee</s>", " Rome</s>", " Ann</s>"]
    assert answers[1:] == [[" Bob Ray</s>", " The Question</s>"], [" Ray</s>", " The Question</s>"]]
    assert [row["right"] for row in chosen.rows] == [0, 0, 0]
    batch = chosen.collator(chosen.rows)
    assert batch["question"].tolist() == [0] * 4 + [1] * 2 + [2] * 2


def test_a_record_row_without_its_answer_among_the_entities_is_left_out_and_noted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task, context = asked("record", tmp_path), context_of(decoder_tokenizer(), max_length=512)
    write_superglue("record", tmp_path, [{**ROWS["record"][0], "answers": ["Nobody"]}, ROWS["record"][1]])
    assert len(task.training_set(context).rows) == 2
    assert "superglue/record: 1 of 2 training rows have no right answer among their entities and are left out" in context.notes


@pytest.mark.parametrize("name", [name for name in EIGHT if name != "record"])
def test_training_rows_have_their_loss_on_the_right_answer_alone(name: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    for prompts in ("t5", "lm-eval"):
        task, tokenizer = asked(name, tmp_path, prompts=prompts), decoder_tokenizer()
        rows = rows_of(task)
        training = task.training_set(context_of(tokenizer, max_length=512))
        assert [told(row, tokenizer).strip() for row in training.rows] == [task.answers(row)[row["label"]] for row in rows]


def test_copas_alternatives_go_on_the_sentence_in_lm_evals_form(tmp_path: Path) -> None:
    task = asked("copa", tmp_path, prompts="lm-eval")
    assert texts_of(task) == ["My body cast a shadow over the grass because", "The question was long therefore"]
    assert [task.answers(row) for row in rows_of(task)] == [("the sun was rising.", "the grass was cut."), ("i slept.", "i answered it at length.")]
    with pytest.raises(ValueError, match="verbalizer: every row has answers of its own"):
        asked("copa", tmp_path, prompts="lm-eval", verbalizer=("one", "two"))


def test_own_words_on_superglue(tmp_path: Path, decoder: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    task = asked("boolq", tmp_path, template="{passage} {question}?", verbalizer=("no", "yes"))
    with torch.inference_mode():
        (metric,) = task.evaluate(decoder, context_of(decoder_tokenizer()))
    assert metric.protocol == "superglue/boolq/prompt-likelihood+own-template+own-verbalizer"
    assert task.label_words() == ("no", "yes")


def test_a_template_may_not_name_what_the_task_lacks() -> None:
    with pytest.raises(ValueError, match=r"template: no column \{hypothesis\}; there are \{passage\}, \{question\}"):
        TASKS.get("superglue/boolq")(task="superglue/boolq", form="prompt", template="{hypothesis}")


def test_an_answer_without_room_for_its_prompt_is_an_error(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with pytest.raises(DataError, match="still takes"):
        asked("record", tmp_path).training_set(context_of(decoder_tokenizer(), max_length=8))
