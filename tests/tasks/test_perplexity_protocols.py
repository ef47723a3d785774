"""Each protocol against an independent implementation: lm-eval's own tasks, transformers' documentation, and a plain loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from data_files import write
from lm_eval_wikitext import lm_eval_perplexities
from pydantic import ValidationError
from tiny_models import decoder_config

from harness.errors import Unsupported
from harness.fields import Config
from harness.micro import model_path
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Task
from harness.tasks.perplexity.documents import wikitext_pages
from harness.tasks.perplexity.windows import rolling, sliding

ROWS = [
    "", " = First = \n", "", " The answer ( or \" question \" ) of the dogs ' owner is 1 @,@ 000 : A , and not B . \n", " Ünïcode \n",
    " = = Part = = \n", "", " The following are questions about the answer . \n", " = Second = \n", "", " Short . \n",
]  # fmt: skip
PROTOCOLS = ("gptq", "lm-eval", "strided")


def wikitext(data: Path, **fields: Any) -> Task:
    return TASKS.get("wikitext2")(task="wikitext2", data=str(data), **fields)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.parquet", [{"text": row} for row in ROWS * 3])
    return tmp_path


def evaluated(task: Task, model: Any, context: Any) -> dict[str, Metric]:
    with torch.inference_mode():
        metrics = task.evaluate(model, context)
    assert len({metric.name for metric in metrics}) == len(metrics), "each has a name of its own in tables"
    return {metric.name: metric for metric in metrics}


def test_documents_score_as_in_lm_evals_wikitext(causal_model: Any, data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer, window = decoder_tokenizer(), 32
    causal_model.config.max_position_embeddings = causal_model.config.n_positions = window
    expected = lm_eval_perplexities(causal_model, tokenizer, wikitext_pages(ROWS * 3))
    found = evaluated(wikitext(data, protocols=("lm-eval",), window=window), causal_model, context_of(tokenizer, batch=3))
    assert set(found) == set(expected) == {"word_perplexity", "byte_perplexity", "bits_per_byte"}
    for name, metric in found.items():
        assert metric.value == pytest.approx(expected[name], rel=1e-5)
        assert (metric.n, metric.protocol) == (6, f"wikitext2/lm-eval-{'word' if name[0] == 'w' else 'byte'}-{window}")


@pytest.mark.slow
def test_the_real_pages_score_as_in_lm_evals_wikitext(shared_data: Path, context_of: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (each.from_pretrained(model_path("decoder")) for each in (AutoModelForCausalLM, AutoTokenizer))
    pages = wikitext_pages(pd.read_parquet(shared_data / "wikitext2" / "test.parquet")["text"])[:4]
    found = evaluated(wikitext(shared_data, protocols=("lm-eval",), max_eval_samples=4), model.eval(), context_of(tokenizer, model_context=512))
    assert {name: metric.value for name, metric in found.items()} == pytest.approx(lm_eval_perplexities(model, tokenizer, pages), rel=1e-6)


def test_c4s_documents_score_as_in_lm_evals_c4(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model, tokenizer = LlamaForCausalLM(decoder_config()).eval(), decoder_tokenizer()
    texts = [" A page , of 3 @-@ 4 words . ", "Another\npage about the answer.", "A third ( and last ) one"]
    write(tmp_path / "validation.jsonl", [{"text": text} for text in texts])
    found = evaluated(TASKS.get("c4")(task="c4", data=str(tmp_path), protocols=("lm-eval",)), model, context_of(tokenizer))
    expected = lm_eval_perplexities(model, tokenizer, texts, task="c4", column="text")
    assert {name: metric.value for name, metric in found.items()} == pytest.approx(expected, rel=1e-5)


def documented_loop(model: Any, ids: Any, length: int, stride: int) -> float:
    """transformers' documentation, each window's mean loss weighted by the tokens that it is really over (it counts one too few)."""
    total, count, seen = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + length, ids.shape[1])
        inputs = ids[:, begin:end]
        targets = inputs.clone()
        targets[:, : seen - begin] = -100
        scored = int((targets[:, 1:] != -100).sum())
        total += float(model(inputs, labels=targets).loss) * scored
        count, seen = count + scored, end
        if end == ids.shape[1]:
            break
    return math.exp(total / count)


@pytest.mark.parametrize(("window", "stride"), [(64, 32), (64, 64), (50, 7), (None, None)])
def test_strided_is_the_loop_of_transformers_documentation(causal_model: Any, data: Path, decoder_tokenizer: Any, context_of: Any, window: int | None, stride: int | None) -> None:
    tokenizer = decoder_tokenizer()
    ids = tokenizer("\n\n".join(ROWS * 3), return_tensors="pt")["input_ids"]
    found = evaluated(wikitext(data, protocols=("strided",), window=window, stride=stride), causal_model, context_of(tokenizer))["perplexity_strided"]
    length, step = window or 256, stride or 128
    with torch.inference_mode():
        assert found.value == pytest.approx(documented_loop(causal_model, ids, length, step), rel=1e-4)
    assert found.protocol == f"wikitext2/strided-{length}-{step}"


def test_every_token_is_scored_once() -> None:
    import numpy as np

    tokens = np.arange(100, 203, dtype=np.int32)
    for length in (1, 7, 50, 103, 500):
        windows = rolling(tokens, 9, length)
        assert np.concatenate([window.nexts[len(window.nexts) - window.scored :] for window in windows]).tolist() == tokens.tolist()
        assert all(len(window.inputs) == len(window.nexts) == min(length, 103) for window in windows), "the last reaches back until it is full"
    for length, stride in ((7, 3), (50, 50), (200, 9)):
        scored = np.concatenate([window.nexts[len(window.nexts) - window.scored :] for window in sliding(tokens, length, stride, "")])
        skipped = set(range(100, 203, 50)) if stride == length else {100}
        assert scored.tolist() == [token for token in tokens.tolist() if token not in skipped]


def test_a_last_window_of_one_token_is_none_for_there_is_nothing_to_predict_in_it(causal_model: Any, data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    count = len(tokenizer("\n\n".join(ROWS * 3))["input_ids"])
    length = next(length for length in range(30, 200) if count % length == 1)
    found = evaluated(wikitext(data, protocols=("strided",), window=length, stride=length), causal_model, context_of(tokenizer))["perplexity_strided"]
    assert found.n == count // length


def test_protocols_together_give_what_each_gives_alone_and_read_no_window_twice(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model, tokenizer = LlamaForCausalLM(decoder_config()).eval(), decoder_tokenizer()
    read: list[int] = []
    model.register_forward_pre_hook(lambda module, args, kwargs: read.append(len(kwargs["input_ids"])), with_kwargs=True)
    alone, counts = {}, {}
    for protocol in PROTOCOLS:
        read.clear()
        alone |= evaluated(wikitext(data, protocols=(protocol,), window=64, stride=32), model, context_of(tokenizer))
        counts[protocol] = sum(read)
    read.clear()
    together = evaluated(wikitext(data, protocols=PROTOCOLS, window=64, stride=32), model, context_of(tokenizer))
    assert list(together) == list(alone)
    assert {name: metric.value for name, metric in together.items()} == pytest.approx({name: metric.value for name, metric in alone.items()}, rel=1e-5)
    assert [metric.protocol for metric in together.values()] == [metric.protocol for metric in alone.values()]
    assert sum(read) == counts["strided"] + counts["lm-eval"], "every window of gptq is one of strided"
    assert counts["lm-eval"] < 12, "pages that repeat are read once"


def test_virtual_tokens_of_prompt_tuning_are_not_scored_in_documents_of_different_lengths(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(LlamaForCausalLM(decoder_config()), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)).eval()
    tokenizer = decoder_tokenizer()
    values = [evaluated(wikitext(data, protocols=("lm-eval",), window=40), model, context_of(tokenizer, batch=batch))["bits_per_byte"].value for batch in (1, 5)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    model.config.max_position_embeddings = 40
    assert lm_eval_perplexities(model, tokenizer, wikitext_pages(ROWS * 3), batch_size=1)["bits_per_byte"] == pytest.approx(values[0], rel=1e-4)


def test_a_part_is_another_protocol_and_counts_what_the_protocol_counts(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    context = context_of(decoder_tokenizer(), model_context=64)
    found = evaluated(wikitext(data, protocols=PROTOCOLS, max_eval_samples=2), LlamaForCausalLM(decoder_config()).eval(), context)
    assert {metric.n for metric in found.values()} == {2}
    assert [metric.protocol.partition("+")[2] for metric in found.values()] == ["first-2-windows", *["first-2-documents"] * 3, "first-2-windows"]
    (use,) = context.used.uses()
    assert (use.role, use.rows) == ("evaluation", len(ROWS) * 3), "the text is made of all rows"


def test_the_default_protocol_leaves_cell_ids_as_they_were(data: Path) -> None:
    plain = wikitext(data)
    assert isinstance(plain, Config)
    assert not {"protocols", "window", "stride"} & set(plain.identity())
    assert wikitext(data, protocols=("gptq", "lm-eval")).identity()["protocols"] == ["gptq", "lm-eval"]


@pytest.mark.parametrize(("fields", "says"), [({"protocols": ()}, "at least 1 item"), ({"protocols": ("gptq", "gptq")}, "gptq is listed twice"), ({"protocols": ("gptq", "words")}, "'gptq', 'lm-eval' or 'strided'")])
def test_protocols_that_make_no_sense_are_refused(data: Path, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        wikitext(data, **fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"window": 512}, "windows of 512 tokens are longer than the 256 that llama reads at once"),
        ({"window": 64, "stride": 65, "protocols": ("strided",)}, "a stride of 65 would pass over tokens between windows of 64"),
        ({"stride": 300, "protocols": ("strided",)}, "a stride of 300 would pass over tokens between windows of 256"),
    ],
)
def test_windows_that_the_model_cannot_have_are_refused_by_the_plan_and_by_the_cell(data: Path, decoder_tokenizer: Any, context_of: Any, fields: dict[str, Any], says: str) -> None:
    task = wikitext(data, **fields)
    assert says in (task.unsupported(ModelFacts("llama", "decoder", context=256), trains=False) or "")
    with pytest.raises(Unsupported, match="tokens"):
        task.evaluate(None, context_of(decoder_tokenizer()))


def test_a_tokenizer_without_beginning_or_end_of_text_is_refused_by_lm_eval_alone(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    tokenizer = decoder_tokenizer()
    tokenizer.bos_token = tokenizer.eos_token = None
    model = LlamaForCausalLM(decoder_config()).eval()
    with pytest.raises(Unsupported, match="lm-eval predicts a document's first token from the tokenizer's beginning- or end-of-text token"):
        evaluated(wikitext(data, protocols=("lm-eval",)), model, context_of(tokenizer))
    assert set(evaluated(wikitext(data, protocols=("gptq", "strided"), window=64), model, context_of(tokenizer))) == {"perplexity", "perplexity_strided"}


def test_a_tokenizer_without_a_beginning_predicts_from_the_end_of_text_as_lm_eval_does(data: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer, model = decoder_tokenizer(), LlamaForCausalLM(decoder_config()).eval()
    tokenizer.bos_token = None
    found = evaluated(wikitext(data, protocols=("lm-eval",)), model, context_of(tokenizer))
    assert found["bits_per_byte"].protocol == "wikitext2/lm-eval-byte-256"
    assert found["bits_per_byte"].value == pytest.approx(lm_eval_perplexities(model, tokenizer, wikitext_pages(ROWS * 3))["bits_per_byte"], rel=1e-5)
