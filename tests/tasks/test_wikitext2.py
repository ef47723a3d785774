"""Perplexity by the GPTQ protocol, against a plain loop over windows with transformers' own loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import decoder_config

from harness.analysis.statistics import mean, standard_error
from harness.errors import DataError, Diverged
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, Task

LINES = ["", " = The answer = \n", "", " The answer of the question is Answer: A , and not Answer: B . \n"] * 12


def wikitext(data: Path | str, **fields: Any) -> Task:
    return TASKS.get("wikitext2")(task="wikitext2", data=str(data), **fields)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        pd.DataFrame({"text": LINES}).to_parquet(tmp_path / f"{split}.parquet")
    return tmp_path


def naive_losses(model: Any, tokenizer: Any, length: int) -> list[float]:
    """GPTQ's loop: one window after the other, transformers' own loss."""
    ids = tokenizer("\n\n".join(LINES), return_tensors="pt")["input_ids"]
    windows = ids.numel() // length
    chosen = [ids[:, index * length : (index + 1) * length] for index in range(windows)]
    return [float(model(input_ids=window, labels=window).loss) for window in chosen]


@pytest.mark.parametrize("batch", [1, 3])
def test_perplexity_is_that_of_the_plain_loop(causal_model: Any, data: Path, decoder_tokenizer: Any, context_of: Any, batch: int) -> None:
    tokenizer = decoder_tokenizer()
    with torch.inference_mode():
        losses = naive_losses(causal_model, tokenizer, 64)
        (metric,) = wikitext(data).evaluate(causal_model, context_of(tokenizer, model_context=64, batch=batch))
    assert len(losses) > 5
    assert metric.value == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert metric.stderr == pytest.approx(math.exp(np.mean(losses)) * np.std(losses, ddof=1) / math.sqrt(len(losses)), rel=1e-3)
    assert (metric.name, metric.n, metric.split, metric.protocol) == ("perplexity", len(losses), "test", "wikitext2/gptq-64")
    assert metric.items is not None
    assert mean(metric.items) == pytest.approx(metric.value)
    assert standard_error(metric.items) == pytest.approx(metric.stderr)
    assert metric.higher_is_better is False


def test_the_loss_taken_in_parts_is_the_whole_loss(data: Path, decoder_tokenizer: Any, context_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(decoder_config()).eval()
    values = []
    for at_once in (512, 7):
        monkeypatch.setattr("harness.tasks.perplexity.losses._POSITIONS_AT_ONCE", at_once)
        with torch.inference_mode():
            values.append(wikitext(data).evaluate(model, context_of(decoder_tokenizer(), model_context=100))[0].value)
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize(("model_context", "window"), [(None, 2048), (4096, 2048), (2048, 2048), (512, 512)])
def test_the_window_is_at_most_2048_and_is_in_the_protocol(tmp_path: Path, decoder_tokenizer: Any, context_of: Any, model_context: int | None, window: int) -> None:
    from transformers import LlamaForCausalLM

    pd.DataFrame({"text": LINES * 6}).to_parquet(tmp_path / "test.parquet")
    model = LlamaForCausalLM(decoder_config(context=4096)).eval()
    with torch.inference_mode():
        (metric,) = wikitext(tmp_path).evaluate(model, context_of(decoder_tokenizer(), model_context=model_context))
    assert metric.protocol == f"wikitext2/gptq-{window}"
    tokens = len(decoder_tokenizer()("\n\n".join(LINES * 6))["input_ids"])
    assert metric.n == tokens // window


def test_max_eval_samples_are_windows_and_another_protocol(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(decoder_config()).eval()
    with torch.inference_mode():
        (metric,) = wikitext(data, max_eval_samples=2).evaluate(model, context_of(decoder_tokenizer(), model_context=64))
        (single,) = wikitext(data, max_eval_samples=1).evaluate(model, context_of(decoder_tokenizer(), model_context=64))
    assert (metric.n, metric.protocol) == (2, "wikitext2/gptq-64+first-2-windows")
    assert single.stderr is None


def test_virtual_tokens_of_prompt_tuning_are_not_scored(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(LlamaForCausalLM(decoder_config()), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).eval()
    tokenizer = decoder_tokenizer()
    with torch.inference_mode():
        expected = naive_losses(model, tokenizer, 64)
        # peft's own loss also predicts each window's first token, from the virtual ones: ours has one term less.
        (metric,) = wikitext(data).evaluate(model, context_of(tokenizer, model_context=64))
    assert metric.n == len(expected)
    assert metric.value is not None
    assert abs(math.log(metric.value) - np.mean(expected)) < 0.5


def test_a_text_shorter_than_a_window_is_one_clear_message(data: Path, causal_model: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    with pytest.raises(DataError, match=r"the test split has \d+ tokens with this tokenizer; one block takes 2048"):
        wikitext(data).evaluate(causal_model, context_of(decoder_tokenizer(), model_context=None))


def test_weights_that_are_not_finite_end_the_cell(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(decoder_config()).eval()
    model.lm_head.weight.data.fill_(float("inf"))
    with torch.inference_mode(), pytest.raises(Diverged, match="not finite"):
        wikitext(data).evaluate(model, context_of(decoder_tokenizer(), model_context=64))


def test_training_blocks_are_the_joined_text_cut_at_max_length(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    training = wikitext(data).training_set(context_of(tokenizer, max_length=48))
    ids = tokenizer("\n\n".join(LINES))["input_ids"]
    assert len(training.rows) == len(ids) // 48
    assert np.concatenate([row["input_ids"] for row in training.rows]).tolist() == ids[: len(ids) // 48 * 48]
    batch = training.collator(training.rows[:3])
    assert batch["labels"].tolist() == batch["input_ids"].tolist()
    assert batch["attention_mask"].shape == (3, 48)
    assert bool(batch["attention_mask"].all())


def test_training_blocks_are_drawn_by_the_seed(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    draws = [wikitext(data, max_train_samples=3).training_set(context_of(decoder_tokenizer(), max_length=16, seed=seed)).rows for seed in (0, 0, 1)]
    texts = [[row["input_ids"].tolist() for row in rows] for rows in draws]
    assert len(texts[0]) == 3
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(("kind", "says"), [("encoder", "predicts the next token"), ("encoder-decoder", "defined for decoders")])
def test_models_without_a_next_token_are_unsupported(kind: str, says: str) -> None:
    assert says in (wikitext("hub").unsupported(ModelFacts("x", kind), trains=False) or "")
    assert wikitext("hub").unsupported(ModelFacts("llama", "decoder"), trains=True) is None


def test_a_training_split_by_another_name(shared_data: Path) -> None:
    task = wikitext(shared_data)
    task.check_data()
    assert task.unsupported(None, trains=False) is None
    reason = task.unsupported(None, trains=True)
    assert reason is not None
    assert "validation_unk.parquet" in reason, "what there is, is named"
    other = wikitext(shared_data, train_split="validation_unk")
    assert other.unsupported(None, trains=True) is None
    assert [path.name for path in other.local_files()] == ["test.parquet", "validation_unk.parquet"]


def test_the_real_test_set_has_gptqs_size(shared_data: Path) -> None:
    rows = wikitext(shared_data).source().load("test")  # type: ignore[attr-defined]
    assert len(rows) == 4358
    assert len("\n\n".join(rows["text"])) > 1_250_000
