"""SQuAD: windows over long contexts, spans chosen out of a head's outputs, answers scored as the official scripts do."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import DataError, Unsupported
from harness.micro import model_path
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Head, Task
from harness.tasks.reading.answers import best_scores, normalised_answer
from harness.tasks.reading.columns import Answer
from harness.tasks.reading.spans import Choice, answers
from harness.tasks.reading.windows import Window, WindowTokenizer

CONTEXT = "Elford is a small town . It lies in the north of the country . Boats on the river carry paper to the coast ."
ROW = {"id": "1", "title": "Elford", "context": CONTEXT, "question": "Where does Elford lie?", "answers": {"text": ["the north"], "answer_start": [CONTEXT.index("the north")]}}
NONE = {**ROW, "id": "2", "question": "Who rules Elford?", "answers": {"text": [], "answer_start": []}}


def squad(data: Path | str = "micro", name: str = "squad", **fields: Any) -> Task:
    return TASKS.get(name)(task=name, data=str(data), **fields)


def written(folder: Path, rows: list[dict[str, Any]], *splits: str) -> Path:
    for split in splits or ("train", "validation"):
        (folder / f"{split}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path("encoder"))


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import AutoModelForQuestionAnswering

    torch.manual_seed(0)
    return AutoModelForQuestionAnswering.from_pretrained(model_path("encoder"), dtype=torch.float32).eval()


@pytest.mark.parametrize(
    ("answer", "right", "version_2", "exact", "f1"),
    [
        ("the North!", ["north"], False, 1.0, 1.0),
        ("the north of it", ["north", "the north of Ardenia"], False, 0.0, 2 / 3),
        ("south", ["north"], False, 0.0, 0.0),
        ("a b b c", ["b b d"], False, 0.0, 2 * 2 / 6),
        ("", ["the"], False, 1.0, 0.0),
        ("", [], True, 1.0, 1.0),
        ("north", [], True, 0.0, 0.0),
        ("", ["north"], True, 0.0, 0.0),
        ("an", ["the"], True, 1.0, 1.0),
        ("a–b", ["–b"], False, 1.0, 1.0),
    ],
)
def test_scores_are_those_of_the_official_scripts(answer: str, right: list[str], version_2: bool, exact: float, f1: float) -> None:
    assert best_scores(answer, right, version_2) == (exact, pytest.approx(f1))


def test_windows_cover_the_context_and_share_the_stride(tokenizer: Any, context_of: Any) -> None:
    context = context_of(tokenizer, "encoder", max_length=22)
    windows = list(WindowTokenizer(context, doc_stride=5).windows(["  " + ROW["question"], "Why?"], [CONTEXT, "Short ."]))
    assert [window.row for window in windows] == [0] * (len(windows) - 1) + [1]
    assert len(windows) > 2
    spans = [window.offsets[window.offsets[:, 0] >= 0] for window in windows[:-1]]
    assert spans[0][0][0] == 0
    assert spans[-1][-1][1] == len(CONTEXT)
    for one, other in pairwise(spans):
        assert one[-5:].tolist() == other[:5].tolist()
    assert all(len(window.inputs["input_ids"]) <= 22 for window in windows)
    question = tokenizer(ROW["question"], add_special_tokens=False)["input_ids"]
    for window in windows[:-1]:
        ids = window.inputs["input_ids"].tolist()
        assert ids[: len(question) + 2] == [tokenizer.cls_token_id, *question, tokenizer.sep_token_id]
        assert window.inputs["token_type_ids"].tolist() == [0] * (len(question) + 2) + [1] * (len(ids) - len(question) - 2)


def test_a_span_is_where_the_answer_stands_or_at_the_first_token_of_windows_without_it(tokenizer: Any, context_of: Any) -> None:
    answer = Answer("the north", CONTEXT.index("the north"))
    context = context_of(tokenizer, "encoder", max_length=24)
    found = []
    for window in WindowTokenizer(context, doc_stride=5).windows([ROW["question"]], [CONTEXT]):
        start, end = window.span(answer)
        if (start, end) == (0, 0):
            inside = window.offsets[window.offsets[:, 0] >= 0]
            assert inside[0][0] > answer.start or inside[-1][1] < answer.start + len(answer.text)
            continue
        found.append(CONTEXT[window.offsets[start, 0] : window.offsets[end, 1]].strip())
    assert found
    assert set(found) == {"the north"}
    assert next(WindowTokenizer(context, 5).windows(["a"], [CONTEXT])).span(None) == (0, 0)


def by_brute_force(window: Window, values: np.ndarray, choice: Choice) -> str:
    """Every pair of the n_best beginnings and ends, one by one."""
    starts, ends = (sorted(range(len(each)), key=lambda place: -each[place])[: choice.n_best] for each in values)
    pairs = [
        (values[0][start] + values[1][end], CONTEXT[window.offsets[start, 0] : window.offsets[end, 1]])
        for start in starts
        for end in ends
        if window.offsets[start, 0] >= 0 and window.offsets[end, 0] >= 0 and start <= end < start + choice.max_answer_length
    ]
    score, text = max(pairs, key=lambda pair: pair[0], default=(0.0, "empty"))
    threshold = choice.no_answer_threshold
    return "" if threshold is not None and values[0][0] + values[1][0] - score > threshold else text


@pytest.mark.parametrize("choice", [Choice(20, 30, None), Choice(3, 2, None), Choice(20, 30, 0.0), Choice(5, 30, 1.5)])
def test_the_best_allowed_span_is_the_answer(choice: Choice, tokenizer: Any, context_of: Any) -> None:
    (window,) = WindowTokenizer(context_of(tokenizer, "encoder", max_length=128), 10).windows([ROW["question"]], [CONTEXT])
    draw = np.random.default_rng(0)
    for _ in range(200):
        values = draw.normal(size=(2, len(window.offsets))).astype(np.float32)
        assert answers([CONTEXT], [window], [values], choice) == [by_brute_force(window, values, choice)]


def test_the_best_window_answers_and_the_least_sure_one_decides_that_there_is_no_answer(tokenizer: Any, context_of: Any) -> None:
    windows = list(WindowTokenizer(context_of(tokenizer, "encoder", max_length=24), 5).windows([ROW["question"]], [CONTEXT]))[:2]
    values = [np.full((2, len(window.offsets)), -9.0, dtype=np.float32) for window in windows]
    places = [int(np.flatnonzero(window.offsets[:, 0] >= 0)[0]) for window in windows]
    for each, place, score in zip(values, places, (1.0, 2.0), strict=True):
        each[:, place] = score
    values[0][:, 0], values[1][:, 0] = 9.0, 1.5
    second = CONTEXT[slice(*windows[1].offsets[places[1]])]
    assert answers([CONTEXT], windows, values, Choice(20, 30, None)) == [second]
    assert answers([CONTEXT], windows, values, Choice(20, 30, 0.0)) == [second]
    assert answers([CONTEXT], windows, values, Choice(20, 30, -2.0)) == [""]


def test_an_encoder_marks_answers_in_any_batch_as_one_by_one(tmp_path: Path, tokenizer: Any, model: Any, context_of: Any) -> None:
    task = squad(max_eval_samples=12, doc_stride=16)
    assert task.head(ModelFacts("bert", "encoder")) == Head("question-answering", 2)
    found = []
    with torch.inference_mode():
        for batch in (1, 8):
            found.append([(metric.name, metric.value) for metric in task.evaluate(model, context_of(tokenizer, "encoder", max_length=64, batch=batch))])
        (exact, f1) = task.evaluate(model, context_of(tokenizer, "encoder", max_length=64))
    assert found[0] == found[1]
    assert (exact.name, f1.name, exact.n) == ("exact_match", "f1_tokens", 12)
    assert exact.protocol == "squad/span-64-16@micro+first-12-rows"


def test_a_tuned_encoder_finds_what_it_was_shown(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    """Trained on the rows that are evaluated, a head that reads the right tokens must come to mark them."""
    from transformers import AutoModelForQuestionAnswering

    torch.manual_seed(0)
    model = AutoModelForQuestionAnswering.from_pretrained(model_path("encoder"), dtype=torch.float32)
    other = {**ROW, "question": "What do boats carry?", "answers": {"text": ["paper"], "answer_start": [CONTEXT.index("paper")]}}
    task = squad(written(tmp_path, [ROW, other, NONE]), "squad_v2", doc_stride=8)
    context = context_of(tokenizer, "encoder", max_length=48)
    training = task.training_set(context)
    batch = training.collator(list(training.rows))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    with torch.inference_mode():
        metrics = task.evaluate(model.eval(), context)
    assert [(metric.name, metric.value, metric.n) for metric in metrics] == [
        ("exact_match", 1.0, 3), ("f1_tokens", 1.0, 3), ("exact_match:answerable", 1.0, 2), ("f1_tokens:answerable", 1.0, 2), ("exact_match:unanswerable", 1.0, 1),
    ]  # fmt: skip


def test_language_models_are_asked_in_text(tmp_path: Path, decoder_tokenizer: Any, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    task = squad(written(tmp_path, [ROW, NONE]), "squad_v2")
    decoder, t5 = decoder_tokenizer(), encoder_decoder_tokenizer()
    row, none = task.training_set(context_of(decoder, max_length=512)).rows
    assert decoder.decode(row["input_ids"]) == f"<s>context: {CONTEXT}\nquestion: Where does Elford lie?\nanswer: the north</s>"
    assert [decoder.decode([token for token in each["labels"] if token != -100]) for each in (row, none)] == [" the north</s>", " unanswerable</s>"]
    row, _ = task.training_set(context_of(t5, "encoder-decoder", max_length=512)).rows
    assert t5.decode(row["input_ids"]) == f"question: Where does Elford lie? context: {CONTEXT}</s>"
    assert t5.decode(row["labels"]).strip() == "the north</s>"
    assert [task.head(ModelFacts("m", kind)).kind for kind in ("decoder", "encoder-decoder")] == ["causal-lm", "seq2seq-lm"]


def test_what_a_decoder_writes_is_scored(tmp_path: Path, context_of: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_path("decoder"))
    model = AutoModelForCausalLM.from_pretrained(model_path("decoder"), dtype=torch.float32).eval()
    asked = f"context: {CONTEXT}\nquestion: {ROW['question']}\nanswer:"
    exact = _judged(model, asked, tmp_path, context_of(tokenizer, model_context=512))
    assert (exact.items, exact.protocol) == ([1.0, 0.0], "squad/completion-greedy-30")


def test_what_an_encoder_decoder_writes_is_scored(tmp_path: Path, context_of: Any) -> None:
    """The embedded one writes nothing here, so its weights are drawn anew, wide enough for words."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(model_path("seq2seq"), initializer_factor=3.0)
    model = AutoModelForSeq2SeqLM.from_config(config).float().eval()
    context = context_of(AutoTokenizer.from_pretrained(model_path("seq2seq")), "encoder-decoder", model_context=None)
    exact = _judged(model, f"question: {ROW['question']} context: {CONTEXT}", tmp_path, context)
    assert (exact.items, exact.protocol) == ([1.0, 0.0], "squad/text-to-text-greedy-30")


def _judged(model: Any, asked: str, folder: Path, context: Any) -> Any:
    """Exact match of two questions. The first one's answer is made what transformers' own generate writes after the prompt, so that it
    must be found right; the second one's is another."""
    ids = context.tokenizer(asked, return_tensors="pt")["input_ids"]
    decodes = context.model.kind == "decoder"
    with torch.inference_mode():
        made = model.generate(input_ids=ids, max_new_tokens=30, do_sample=False)[0][ids.shape[1] if decodes else 0 :]
        text = context.tokenizer.decode(made, skip_special_tokens=True)
        text = (text.split("\n")[0] if decodes else text).strip()
        assert normalised_answer(text), "an empty text would be right by chance"
        right = {**ROW, "answers": {"text": [text], "answer_start": [0]}}
        exact, _ = squad(written(folder, [right, ROW], "validation")).evaluate(model, context)
    return exact


def test_long_questions_are_cut_and_counted_and_short_windows_refused(tokenizer: Any, context_of: Any) -> None:
    context = context_of(tokenizer, "encoder", max_length=40)
    windows = WindowTokenizer(context, 16)
    made = list(windows.windows(["why " * 100, "Where?"], [CONTEXT, CONTEXT]))
    windows.say("squad")
    assert {window.row for window in made} == {0, 1}
    assert "squad: 1 of 2 questions were too long and lost their end" in context.notes
    with pytest.raises(Unsupported, match="max_length: 40 has no room for a question and windows that share 128 tokens"):
        WindowTokenizer(context, 128)


@pytest.mark.parametrize(
    ("answers_given", "says"),
    [
        ({"text": ["the north"], "answer_start": [0]}, f"answer_start 0 is where 'Elford is' stands and not the answer 'the north'; the text first stands at {CONTEXT.index('the north')}"),
        ({"text": ["the south"], "answer_start": [40]}, "the context does not hold the text at all"),
        ({"text": [], "answer_start": []}, 'expected {"text": [...], "answer_start": [...]}, at least one of each'),
        ({"text": ["the north"]}, "expected {"),
        ({"text": [" "], "answer_start": [0]}, "an answer that is empty or no text"),
        ({"text": [7], "answer_start": [0]}, "an answer that is empty or no text"),
        ({"text": ["the north"], "answer_start": [-1]}, "an answer_start that is no whole number from 0"),
        ("the north", "expected {"),
        (None, "got nothing"),
    ],
)
def test_bad_answers_are_refused_with_file_row_and_column(answers_given: Any, says: str, tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    task = squad(written(tmp_path, [ROW, {**ROW, "answers": answers_given}]))
    with pytest.raises(DataError) as caught:
        task.training_set(context_of(tokenizer, "encoder", max_length=200))
    assert "train.json: row 2, column answers: " in str(caught.value)
    assert says in str(caught.value)


def test_answers_are_read_in_squads_own_form_and_as_text(tmp_path: Path, context_of: Any, tokenizer: Any) -> None:
    own = [{"text": "the north", "answer_start": ROW["answers"]["answer_start"][0]}]
    task = squad(written(tmp_path, [{**ROW, "answers": own}, {**ROW, "answers": json.dumps(ROW["answers"])}, {**ROW, "answers": str(ROW["answers"])}]))
    rows = task.training_rows(context_of(tokenizer, "encoder"))  # type: ignore[attr-defined]
    assert rows["answers"] == [[Answer("the north", own[0]["answer_start"])]] * 3


def test_leakage_is_by_question_and_context(tmp_path: Path, tokenizer: Any, context_of: Any) -> None:
    written(tmp_path, [ROW], "train")
    written(tmp_path, [ROW, {**ROW, "question": "Where is Elford?"}], "validation")
    context = context_of(tokenizer, "encoder", max_length=200)
    task = squad(tmp_path)
    task.training_set(context)
    task.look_at_evaluation_rows(context)
    (use,) = [use for use in context.used.uses() if use.role == "evaluation"]
    assert (use.rows, use.trained_on, use.trained_on_normalised) == (2, 1, 1)
