"""What many prompts begin with is read once, and their scores are those of whole prompts, on every architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import VOCABULARY, decoder_config, encoder_decoder_config

from harness.needs import ModelFacts
from harness.tasks.base import TaskContext
from harness.tasks.batches import PaddingCollator
from harness.tasks.likelihood import beginnings, readings
from harness.tasks.likelihood.beginnings import shared_beginnings
from harness.tasks.multiple_choice import Question, answer_scores

SINGLE = ((10,), (11,), (12,), (13,))
SEVERAL = ((10,), (11, 20), (12, 21, 30), (13, 22))
SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": SHAPE, "qwen2": SHAPE, "phi": SHAPE, "gpt_neox": SHAPE, "qwen3": SHAPE | {"head_dim": 16}, "glm": SHAPE | {"head_dim": 16},
    "mistral": SHAPE | {"sliding_window": 24}, "gemma3_text": SHAPE | {"head_dim": 16, "sliding_window": 24},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3},
    "opt": {"vocab_size": VOCABULARY, "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 32, "init_std": 0.3},
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3},
    "falcon": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3, "alibi": True},
}  # fmt: skip
STATE_SPACE = SHAPE | {"num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8, "mamba_dt_rank": 4}
AGAIN = "what many prompts begin with is read again for each of them: "


def of(family: str, **shape: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**shape, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1})).eval()


def asked(answers: Any, subjects: int = 2, each: int = 10) -> list[Question]:
    """Questions of a few subjects, each subject's behind the same 60 tokens."""
    draw = np.random.default_rng(0)
    shots = [draw.integers(2, VOCABULARY, size=60) for _ in range(subjects)]
    return [Question(np.concatenate([begin, draw.integers(2, VOCABULARY, size=draw.integers(3, 30))]), answers) for _ in range(each) for begin in shots]


def context(batch: int = 4, kind: str = "decoder") -> TaskContext:
    return TaskContext(None, ModelFacts("test", kind, context=256), 64, batch, 0)  # type: ignore[arg-type]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> Any:
    """(scores, tokens read, notes) of a model on questions; from kept keys and values of beginnings, or of whole prompts."""

    def score(model: Any, questions: list[Question], kept: bool, batch: int = 4) -> tuple[list[Any], int, list[str]]:
        monkeypatch.setattr(beginnings, "OWN_PASS", 100 if kept else 10**9)
        read = 0

        def count(module: Any, arguments: Any, named: dict[str, Any]) -> None:
            nonlocal read
            read += named["input_ids"].numel()

        told = context(batch)
        hook = model.register_forward_pre_hook(count, with_kwargs=True)
        with torch.inference_mode():
            scores = answer_scores(model, questions, PaddingCollator(1), told)
        hook.remove()
        return scores, read, told.notes

    return score


@pytest.mark.parametrize("answers", [SINGLE, SEVERAL], ids=["single tokens", "several tokens"])
@pytest.mark.parametrize("family", ARCHITECTURES)
def test_scores_are_those_of_whole_prompts(family: str, answers: Any, scored: Any) -> None:
    model = of(family, **ARCHITECTURES[family])
    (kept, read, notes), (whole, read_whole, _) = scored(model, asked(answers), True), scored(model, asked(answers), False)
    np.testing.assert_allclose(np.stack(kept), np.stack(whole), atol=2e-5)
    assert [each.argmax() for each in kept] == [each.argmax() for each in whole]
    assert not notes
    assert read < 0.6 * read_whole, "the beginnings were read once"


def test_a_tuned_model_is_read_with_what_was_tuned(scored: Any) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(of("llama", **SHAPE), LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    (kept, read, notes), (whole, read_whole, _) = scored(model, asked(SEVERAL), True), scored(model, asked(SEVERAL), False)
    np.testing.assert_allclose(np.stack(kept), np.stack(whole), atol=2e-5)
    assert read < 0.6 * read_whole
    assert not notes
    with model.disable_adapter():
        assert np.abs(np.stack(scored(model, asked(SEVERAL), True)[0]) - np.stack(kept)).max() > 0.1


def test_virtual_tokens_are_read_with_every_prompt(scored: Any) -> None:
    from peft import PromptTuningConfig, get_peft_model

    model = get_peft_model(of("llama", **SHAPE), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)).eval()
    (kept, read, notes), (whole, read_whole, _) = scored(model, asked(SINGLE), True), scored(model, asked(SINGLE), False)
    np.testing.assert_array_equal(np.stack(kept), np.stack(whole))
    assert read == read_whole
    assert notes == [f"{AGAIN}virtual tokens stand before the text"]


def test_a_cache_that_is_more_than_keys_and_values_is_not_gone_on_from(scored: Any) -> None:
    model = of("jamba", **STATE_SPACE)
    (kept, _, notes), (whole, _, _) = scored(model, asked(SINGLE), True), scored(model, asked(SINGLE), False)
    np.testing.assert_allclose(np.stack(kept), np.stack(whole), atol=2e-5)
    assert notes == [f"{AGAIN}the model's cache has a LinearAttentionLayer"]


def test_a_model_without_a_cache_reads_everything(scored: Any) -> None:
    model = of("mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=8, initializer_range=0.3)
    assert scored(model, asked(SINGLE, each=4), True)[2] == [f"{AGAIN}the model takes no keys and values back"]


def test_a_model_that_counts_positions_wrongly_behind_a_cache_is_found_out(scored: Any) -> None:
    from transformers import LlamaForCausalLM

    class FromZero(LlamaForCausalLM):
        def forward(self, input_ids: Any = None, past_key_values: Any = None, use_cache: Any = None, **named: Any) -> Any:
            positions = torch.arange(input_ids.shape[1])[None]
            return super().forward(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache, position_ids=positions, **named)

    torch.manual_seed(0)
    model = FromZero(decoder_config()).eval()
    (kept, _, notes), (whole, _, _) = scored(model, asked(SINGLE), True), scored(model, asked(SINGLE), False)
    np.testing.assert_allclose(np.stack(kept), np.stack(whole), atol=2e-5)
    assert notes == [f"{AGAIN}its outputs are others than those of whole prompts"]


def test_where_memory_runs_out_smaller_batches_go_on_from_the_same_keys(scored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = of("llama", **SHAPE)
    whole, _, _ = scored(model, asked(SINGLE), False)
    plain = readings._Reader._continued

    def small_memory(reader: Any, batch: Any, kept: Any) -> Any:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(reader, batch, kept)

    monkeypatch.setattr(readings._Reader, "_continued", small_memory)
    kept, _, notes = scored(model, asked(SINGLE), True)
    np.testing.assert_allclose(np.stack(kept), np.stack(whole), atol=2e-5)
    assert all(note.startswith("evaluation: out of memory") for note in notes)
    assert notes


def test_an_encoder_decoders_questions_are_read_whole() -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    questions = [Question(each.prompt, SEVERAL, one_text=False) for each in asked(SEVERAL, each=3)]
    told = context(kind="encoder-decoder")
    with torch.inference_mode():
        assert len(answer_scores(model, questions, PaddingCollator(0), told)) == 6
    assert not told.notes


def test_a_group_is_the_rows_whose_beginning_saves_most() -> None:
    heading, one, other = [7] * 20, [8] * 300, [9] * 300
    rows = [[*heading, *shots, *(100 + row for _ in range(10))] for row, shots in enumerate([one, other] * 6)]
    found = shared_beginnings([np.array(row) for row in rows], [len(row) for row in rows])
    assert sorted((each.length, sorted(each.rows)) for each in found) == [(320, [0, 2, 4, 6, 8, 10]), (320, [1, 3, 5, 7, 9, 11])]


def test_the_heading_alone_is_shared_where_nothing_else_is() -> None:
    rows = [[*[7] * 200, *[100 + row] * 50] for row in range(8)]
    (found,) = shared_beginnings([np.array(row) for row in rows], [250] * 8)
    assert (found.length, sorted(found.rows)) == (200, list(range(8)))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[1, 2, 3]],
        [[], [], []],
        [[7] * 100, [7] * 100],  # saves 100 tokens: less than a pass of its own costs
        [[*[7] * 20, *[100 + row] * 500] for row in range(60)],  # saves 1,180 tokens of 31,200
    ],
)
def test_little_that_is_shared_is_read_again(rows: list[list[int]]) -> None:
    assert shared_beginnings([np.array(row, dtype=np.int32) for row in rows], [len(row) for row in rows]) == []


def test_whatever_is_shared_no_row_is_in_two_groups_and_every_group_begins_alike() -> None:
    draw = np.random.default_rng(0)
    stems = [draw.integers(0, 3, size=size) for size in draw.integers(100, 400, size=5)]
    rows = [np.concatenate([stems[draw.integers(5)][: draw.integers(50, 400)], draw.integers(0, 3, size=draw.integers(0, 40))]) for _ in range(300)]
    found = shared_beginnings(rows, [len(row) + 5 for row in rows])
    grouped = [row for group in found for row in group.rows]
    assert len(grouped) == len(set(grouped)) > 100
    for group in found:
        assert len({tuple(rows[row][: group.length].tolist()) for row in group.rows}) == 1
        assert all(len(rows[row]) >= group.length for row in group.rows)
