"""GLUE asked as prompts: lm-eval's texts to the letter, likelihoods of a plain loop, rows trained on, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval_prompts import lm_eval_task, lm_eval_texts
from pydantic import ValidationError
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError, Unsupported
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Head
from harness.tasks.glue import Glue
from harness.tasks.glue_prompts import SCORES, score_place
from harness.tasks.prompted.questions import Asker
from harness.tasks.prompted.template import Template

SENTENCES = ["the answer of a question", "nobody knew which. ", "is long and short", 'a "question", but which?', "The following {are} questions"]
TEXTS = {
    "cola": ("sentence",), "sst2": ("sentence",), "mrpc": ("sentence1", "sentence2"), "qqp": ("question1", "question2"), "stsb": ("sentence1", "sentence2"),
    "mnli": ("premise", "hypothesis"), "qnli": ("question", "sentence"), "rte": ("sentence1", "sentence2"), "wnli": ("sentence1", "sentence2"),
}  # fmt: skip
SPLITS = {"mnli": ("validation_matched", "validation_mismatched")}


def rows_of(name: str) -> list[dict[str, Any]]:
    classes = {"mnli": 3}.get(name, 2)
    label = (lambda place: place * 1.3) if name == "stsb" else (lambda place: place % classes)
    texts = [{column: SENTENCES[(place + step) % 5] for step, column in enumerate(TEXTS[name])} for place in range(4)]
    return [{**row, "label": label(place)} for place, row in enumerate(texts)]


def asked(name: str, folder: Path, **fields: Any) -> Glue:
    """The task over four rows in every split."""
    import pandas as pd

    for split in ("train", *SPLITS.get(name, ("validation",))):
        pd.DataFrame(rows_of(name)).to_parquet(folder / f"{split}.parquet")
    task = TASKS.get(f"glue/{name}")(task=f"glue/{name}", data=str(folder), form="prompt", **fields)
    assert isinstance(task, Glue)
    return task


def language_model(kind: str) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    if kind == "encoder-decoder":
        return AutoModelForSeq2SeqLM.from_config(encoder_decoder_config()).eval()
    return AutoModelForCausalLM.from_config(decoder_config("llama" if kind == "decoder" else kind)).eval()


@pytest.fixture(params=["decoder", "gpt2", "encoder-decoder"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(kind: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("encoder_decoder_tokenizer" if kind == "encoder-decoder" else "decoder_tokenizer")()


def likelihood(model: Any, tokenizer: Any, prompt: str, word: str) -> float:
    """log p(word | prompt) by one plain forward pass, unpadded: the definition."""
    if model.config.is_encoder_decoder:
        target = tokenizer(word, add_special_tokens=False)["input_ids"]
        logits = model(input_ids=tokenizer(prompt, return_tensors="pt")["input_ids"], decoder_input_ids=torch.tensor([[0, *target[:-1]]])).logits[0]
    else:
        before, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {word}")["input_ids"]
        target = whole[len(before) :]
        logits = model(input_ids=torch.tensor([whole])).logits[0, len(before) - 1 : -1]
    likelihoods = logits.log_softmax(dim=-1)
    return sum(float(likelihoods[place, token]) for place, token in enumerate(target))


@pytest.mark.parametrize("name", ["cola", "mnli", "stsb"])
def test_scores_are_those_of_a_plain_pass_per_candidate(name: str, kind: str, tokenizer: Any, tmp_path: Path, context_of: Any) -> None:
    task, model = asked(name, tmp_path), language_model(kind)
    context = context_of(tokenizer, "encoder-decoder" if kind == "encoder-decoder" else "decoder", model_context=None if kind == "encoder-decoder" else 256)
    words = SCORES if name == "stsb" else task.glue.classes
    prompts = {
        "cola": "cola sentence: {sentence}", "mnli": "mnli hypothesis: {hypothesis} premise: {premise}",
        "stsb": "stsb sentence1: {sentence1} sentence2: {sentence2}",
    }  # fmt: skip
    ending = "" if kind == "encoder-decoder" else "\nanswer:"
    with torch.inference_mode():
        found, _ = task.answer_likelihoods(model, rows_of(name), context)
        expected = [[likelihood(model, tokenizer, prompts[name].format(**row) + ending, word) for word in words] for row in rows_of(name)]
        metrics = task.evaluate(model, context)
    np.testing.assert_allclose(np.stack(found), expected, rtol=3e-5, atol=3e-4)
    predicted = np.argmax(expected, axis=1)
    assert {metric.protocol for metric in metrics} == {f"glue/{name}/prompt-likelihood"}
    if name == "stsb":
        from scipy.stats import pearsonr

        scores = [float(SCORES[place]) for place in predicted]
        assert metrics[0].value == (None if len(set(scores)) == 1 else pytest.approx(pearsonr(scores, [row["label"] for row in rows_of(name)])[0]))
    else:
        accuracy = next(metric for metric in metrics if metric.name == "accuracy")
        assert accuracy.value == pytest.approx(np.mean(predicted == [row["label"] for row in rows_of(name)]))


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "stsb"])
def test_lm_evals_form_is_lm_evals_to_the_letter(name: str, tmp_path: Path) -> None:
    task = asked(name, tmp_path, prompts="lm-eval")
    theirs = lm_eval_texts(lm_eval_task(f"glue/{name}", rows_of(name), tmp_path))
    prompt = task.prompt().template
    ours = [([f"{Template(prompt).filled(task.texts(row))} {word}" for word in task.answers(row)], row["label"]) for row in rows_of(name)]
    assert ours == theirs
    assert task.answer_protocol() == f"glue/{name}/lm-eval-prompt-likelihood"


def test_likelihoods_are_lm_evals_on_the_same_model(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from lm_eval.models.huggingface import HFLM

    task, model, tokenizer = asked("mnli", tmp_path, prompts="lm-eval"), language_model("decoder"), decoder_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", max_length=256, add_bos_token=True)
    document = lm_eval_task("glue/mnli", rows_of("mnli"), tmp_path)
    requests = [request for place, row in enumerate(document.validation_docs()) for request in document.construct_requests(row, document.doc_to_text(row), doc_id=place, metadata=("mnli", place, 1))]
    expected = np.array([score for score, _ in theirs.loglikelihood(requests, disable_tqdm=True)]).reshape(4, 3)
    with torch.inference_mode():
        found, _ = task.answer_likelihoods(model, rows_of("mnli"), context_of(tokenizer))
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-3)


def test_training_rows_have_their_loss_on_the_words_alone(kind: str, tokenizer: Any, tmp_path: Path, context_of: Any) -> None:
    task = asked("rte", tmp_path)
    training = task.training_set(context_of(tokenizer, "encoder-decoder" if kind == "encoder-decoder" else "decoder", max_length=128))
    for row, label in zip(training.rows, [0, 1, 0, 1], strict=True):
        told = [token for token in row["labels"] if token != -100]
        assert tokenizer.decode(told).strip() == ("entailment", "not_entailment")[label]
    batch = training.collator(training.rows)
    loss = language_model(kind)(**batch).loss
    assert torch.isfinite(loss)


def test_stsbs_training_words_are_scores_to_the_nearest_fifth(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    rows = asked("stsb", tmp_path).training_set(context_of(tokenizer, max_length=128)).rows
    assert [tokenizer.decode([token for token in row["labels"] if token != -100]) for row in rows] == [" 0.0", " 1.2", " 2.6", " 4.0"]
    assert [SCORES[score_place(score)] for score in (0.0, 0.3, 0.5, 3.25, 4.95, 5.0)] == ["0.0", "0.4", "0.4", "3.2", "5.0", "5.0"]
    assert len(SCORES) == 26


def test_wrong_words_are_trained_against_where_the_method_asks(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from harness.methods.tfew import choice_loss

    task, tokenizer = asked("mnli", tmp_path), decoder_tokenizer()
    assert task.has_choices
    assert not TASKS.get("glue/mnli")(task="glue/mnli").has_choices
    training = task.training_set(replace(context_of(tokenizer, max_length=128), choices=True))
    batch = training.collator(training.rows)
    assert batch["question"].tolist() == [number for number in range(4) for _ in range(3)]
    assert batch["right"].tolist() == [place * 3 + place % 3 for place in range(4)]
    logits = language_model("decoder")(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert torch.isfinite(choice_loss(("lm", "unlikelihood", "length-normalised"), logits[:, :-1], batch["labels"][:, 1:], batch["question"], batch["right"]))


def test_the_form_decides_the_head_and_which_models_can(tmp_path: Path) -> None:
    task = asked("rte", tmp_path)
    assert task.head(ModelFacts("x", "decoder")) == Head("causal-lm")
    assert task.head(ModelFacts("x", "encoder-decoder")) == Head("seq2seq-lm")
    assert "an encoder does not have" in (task.unsupported(ModelFacts("x", "encoder"), True) or "")
    assert task.unsupported(ModelFacts("x", "decoder"), True) is None
    assert task.with_shots(0) is task
    for wrong, shots in ((task, 2), (TASKS.get("glue/rte")(task="glue/rte"), 0)):
        with pytest.raises(Unsupported):
            wrong.with_shots(shots)


def test_at_the_default_form_a_cells_identity_is_what_it_was() -> None:
    plain = TASKS.get("glue/rte")(task="glue/rte")
    assert not {"form", "prompts", "template", "verbalizer"} & set(plain.identity())
    assert {"form", "verbalizer"} <= set(TASKS.get("glue/rte")(task="glue/rte", form="prompt", verbalizer=("yes", "no")).identity())


def test_own_template_and_words_are_another_protocol(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task, model, tokenizer = asked("sst2", tmp_path, template="{sentence} It was", verbalizer=("bad", "good")), language_model("decoder"), decoder_tokenizer()
    with torch.inference_mode():
        found, _ = task.answer_likelihoods(model, rows_of("sst2"), context_of(tokenizer))
        expected = [[likelihood(model, tokenizer, f"{row['sentence']} It was", word) for word in ("bad", "good")] for row in rows_of("sst2")]
        (metric,) = task.evaluate(model, context_of(tokenizer))
    np.testing.assert_allclose(np.stack(found), expected, rtol=3e-5, atol=3e-4)
    assert metric.protocol == "glue/sst2/prompt-likelihood+own-template+own-verbalizer"
    assert task.label_words() == ("bad", "good")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"template": "{sentence} is {sentense}"}, "template: no column {sentense}; there are {sentence}; did you mean {sentence}?"),
        ({"template": ""}, "template: holds no column"),
        ({"verbalizer": ()}, "verbalizer: 0 words for 2 classes"),
        ({"template": "is it good?"}, "template: holds no column"),
        ({"template": "{sentence"}, "template: expected '}' before end of string; write a column as {sentence}"),
        ({"template": "{sentence!r}"}, "template: no column {sentence!r}"),
        ({"template": "{sentence.__class__}"}, "template: no column {sentence.__class__}"),
        ({"template": "{}"}, "template: no column {}"),
        ({"verbalizer": ("good",)}, "verbalizer: 1 words for 2 classes; expected words in the place of negative, positive"),
        ({"verbalizer": ("good", "")}, "verbalizer: a word is empty"),
        ({"verbalizer": (" good", "bad")}, "verbalizer: a word is empty or has a blank at its beginning"),
        ({"verbalizer": ("good", "good")}, "verbalizer: two classes have the same word"),
        ({"form": "head", "template": "{sentence}"}, "template: goes with form: prompt"),
        ({"prompts": "gpt3"}, "t5"),
    ],
)
def test_a_prompt_that_cannot_be_asked_is_refused_by_the_suite(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TASKS.get("glue/sst2")(**({"task": "glue/sst2", "form": "prompt"} | fields))
    assert says in str(caught.value)


def test_lm_eval_does_not_ask_stsb() -> None:
    with pytest.raises(ValidationError, match="prompts: lm-eval does not ask glue/stsb; there is t5"):
        TASKS.get("glue/stsb")(task="glue/stsb", form="prompt", prompts="lm-eval")


@pytest.mark.parametrize(("words", "says"), [(("A", "A B"), "what the second begins with"), (("A\u2009", "A\u200a"), "a word is empty or has a blank")])
def test_words_that_could_not_compete_are_refused(words: tuple[str, str], says: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with pytest.raises((Unsupported, ValidationError), match=says), torch.inference_mode():
        asked("sst2", tmp_path, verbalizer=words).evaluate(language_model("decoder"), context_of(decoder_tokenizer()))


def test_words_that_a_tokenizer_does_not_know_are_refused(tmp_path: Path, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    task = asked("sst2", tmp_path, verbalizer=("好", "壞"))
    with pytest.raises(Unsupported, match="the same tokens as of the second"), torch.inference_mode():
        task.evaluate(language_model("encoder-decoder"), context_of(encoder_decoder_tokenizer(), "encoder-decoder"))


def test_a_prompt_that_does_not_fit_loses_the_end_of_its_longest_text_and_is_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    task, tokenizer = asked("rte", tmp_path), decoder_tokenizer()
    context = context_of(tokenizer, model_context=120)
    long = {"sentence1": "question " * 200, "sentence2": "the answer", "label": 0}
    with torch.inference_mode():
        (scores,), protocol = task.answer_likelihoods(language_model("decoder"), [long], context)
    assert np.isfinite(scores).all()
    assert protocol == "glue/rte/prompt-likelihood+shortened"
    assert "glue/rte: 1 of 1 prompts were longer than 121 tokens and lost the end of their longest text" in context.notes
    (question,), cut = Asker(context, task.template_of("decoder")).questions([task.asked(long)], 121)
    text = tokenizer.decode(question.prompt)
    assert cut == 1
    assert text.startswith("<s>rte sentence1: question question")
    assert text.endswith("sentence2: the answer\nanswer:")
    assert 115 <= question.tokens <= 121


def test_a_prompt_without_room_for_itself_is_an_error(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with pytest.raises(DataError, match=r"still takes \d+ tokens with its answer; there is room for 10"):
        asked("rte", tmp_path).training_set(context_of(decoder_tokenizer(), max_length=10))


def test_an_empty_text_is_asked_like_any_other(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    with torch.inference_mode():
        scores, _ = asked("cola", tmp_path).answer_likelihoods(language_model("decoder"), [{"sentence": "", "label": 1}], context_of(decoder_tokenizer()))
    assert np.isfinite(scores[0]).all()


@pytest.mark.slow
def test_a_megabyte_in_a_line_is_asked_like_any_other(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    rows = [{"sentence": "The following are questions about the answer. " * 22_000, "label": 0}]
    with torch.inference_mode():
        scores, protocol = asked("cola", tmp_path).answer_likelihoods(language_model("decoder"), rows, context_of(decoder_tokenizer()))
    assert np.isfinite(scores[0]).all()
    assert protocol.endswith("+shortened")
