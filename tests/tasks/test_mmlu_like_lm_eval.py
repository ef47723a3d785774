"""The protocols named after lm-eval give lm-eval's own scores, question by question."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lm_eval_mmlu import lm_eval_results, lm_eval_scores

from harness.micro import model_path
from harness.models.facts import read_facts
from harness.models.source import ModelConfig
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.mmlu import Mmlu

FORMS = [("letter", 0), ("letter", 5), ("full-answer", 0), ("full-answer", 2)]


@pytest.fixture(scope="module")
def micro() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(model_path("decoder")).eval(), AutoTokenizer.from_pretrained(model_path("decoder"))


def made_up(count: int, draw: random.Random) -> list[dict[str, Any]]:
    """Questions of every awkward kind: blanks around them, several lines, longer than the context, equal and long choices."""
    rows = []
    for subject in ("abstract_algebra", "high_school_us_history", "anatomy"):
        for number in range(count):
            words = [draw.choice(["the", "small", "sum", "of", "Paris", "is", "1914", "π", "why"]) for _ in range(draw.randint(3, 40))]
            text = " ".join(words) * (30 if number == 7 else 1)
            question = {0: f" {text} ", 1: f"\n{text}\nand then?\n", 2: f"{text}  "}.get(number % 5, text)
            choices = [" ".join(draw.choice(words) for _ in range(draw.randint(1, 8))) for _ in range(4)]
            if number % 6 == 0:
                choices[2] = choices[1]
            rows.append({"question": question, "subject": subject, "choices": choices, "answer": draw.randrange(4)})
    return rows


def assert_alike(data: Path, test: pd.DataFrame, dev: pd.DataFrame, micro: tuple[Any, Any], scoring: str, shots: int) -> None:
    """Both with the micro decoder, whose context of 512 tokens long prompts outgrow: those lose their beginning in both."""
    model, tokenizer = micro
    test.to_parquet(data / "test.parquet")
    dev.to_parquet(data / "dev.parquet")
    facts = read_facts(ModelConfig(source="micro:decoder"))
    assert facts is not None
    assert facts.context == 512
    task = TASKS.get("mmlu")(task="mmlu", data=str(data), prompt="lm-eval", scoring=scoring, num_fewshot=shots)
    assert isinstance(task, Mmlu)
    context = TaskContext(tokenizer, facts, 64, 16, 0)
    with torch.inference_mode():
        rows = task.evaluation_rows("test", context)
        ours, shortened = task.scores(model, rows, context)
    metrics = {metric.name: metric for metric in task._metrics(rows, ours, shortened)}
    results = lm_eval_results(model, tokenizer, test, dev, shots=shots, scoring=scoring, batch_size=16)
    theirs = lm_eval_scores(results, test)
    assert metrics["accuracy"].protocol == f"mmlu/lm-eval-{shots}shot-{scoring}" + ("+shortened" if shortened else "")
    assert [int(each.argmax()) for each in ours] == [int(np.argmax(each)) for each in theirs]
    for found, expected in zip(ours, theirs, strict=True):
        differences = [np.asarray(each) - each[0] for each in (found, expected)]
        np.testing.assert_allclose(*differences, atol=1e-3, rtol=1e-5)
    _assert_metrics_alike(metrics, results, len(test))


def _assert_metrics_alike(metrics: dict[str, Any], results: Any, count: int) -> None:
    by_subject = {name.removeprefix("mmlu_").removesuffix("_continuation"): found for name, found in results["results"].items()}
    for subject, found in by_subject.items():
        assert metrics[f"accuracy:{subject}"].value == pytest.approx(found["acc,none"])
        if "acc_norm,none" in found:
            assert metrics[f"accuracy_norm:{subject}"].value == pytest.approx(found["acc_norm,none"])
    assert ("accuracy_norm" in metrics) == any("acc_norm,none" in found for found in by_subject.values())
    assert metrics["accuracy"].n == count


@pytest.mark.parametrize(("scoring", "shots"), FORMS)
def test_scores_and_answers_are_lm_evals_on_awkward_questions(scoring: str, shots: int, tmp_path: Path, micro: Any) -> None:
    draw = random.Random(0)
    test, dev = pd.DataFrame(made_up(8, draw)), pd.DataFrame(made_up(5, draw))
    assert_alike(tmp_path, test, dev, micro, scoring, shots)


def test_answers_are_lm_evals_on_two_hundred_real_questions(tmp_path: Path, micro: Any, shared_data: Path) -> None:
    test, dev = (pd.read_parquet(shared_data / "mmlu" / f"{split}.parquet") for split in ("test", "dev"))
    chosen = test[test["subject"].isin(["abstract_algebra", "high_school_geography", "marketing"])].groupby("subject").head(70)
    assert_alike(tmp_path, chosen.reset_index(drop=True), dev, micro, "letter", 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("scoring", "shots"), FORMS)
def test_scores_and_answers_are_lm_evals_on_the_real_questions(scoring: str, shots: int, tmp_path: Path, micro: Any, shared_data: Path) -> None:
    """Ten of every subject; all 14,042: benchmarks/mmlu_vs_lm_eval.py --model micro:decoder --items 14042."""
    test, dev = (pd.read_parquet(shared_data / "mmlu" / f"{split}.parquet") for split in ("test", "dev"))
    assert_alike(tmp_path, test.groupby("subject").head(10).reset_index(drop=True), dev, micro, scoring, shots)


def test_categories_are_lm_evals_groups(tmp_path: Path) -> None:
    """By the tags of lm-eval's own yaml; Hendrycks' differ in anatomy alone, which is health there."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    from harness.tasks.mmlu_categories import HENDRYCKS_CATEGORIES, LM_EVAL_CATEGORIES

    folder = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    configs = [load_yaml(path) for path in folder.glob("mmlu_*.yaml")]
    tags = {config["dataset_name"]: config["tag"].removeprefix("mmlu_").removesuffix("_tasks").replace("_", "-") for config in configs}
    assert tags == {subject: name for name, subjects in LM_EVAL_CATEGORIES.items() for subject in subjects}
    moved = {subject for name in LM_EVAL_CATEGORIES for subject in set(LM_EVAL_CATEGORIES[name]) ^ set(HENDRYCKS_CATEGORIES[name])}
    assert moved == {"anatomy"}
