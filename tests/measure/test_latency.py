"""Generation speed on real, small, randomly initialised models."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.measure.latency import Repetitions, generation_latency

VOCABULARY = 99


def decoder() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=128,
        )
    )  # fmt: skip


def encoder_decoder() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return T5ForConditionalGeneration(config)


def lora(model: Any, task: str) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = ["q", "v"] if task == "SEQ_2_SEQ_LM" else ["q_proj", "v_proj"]
    return get_peft_model(model, LoraConfig(task_type=task, r=2, target_modules=targets))


def prefix(model: Any, task: str) -> Any:
    from peft import PrefixTuningConfig, get_peft_model

    return get_peft_model(model, PrefixTuningConfig(task_type=task, num_virtual_tokens=4))


MODELS = {
    "decoder": decoder,
    "encoder-decoder": encoder_decoder,
    "decoder with lora": lambda: lora(decoder(), "CAUSAL_LM"),
    "encoder-decoder with lora": lambda: lora(encoder_decoder(), "SEQ_2_SEQ_LM"),
    "decoder with prefix": lambda: prefix(decoder(), "CAUSAL_LM"),
}


def watch(model: Any) -> list[Any]:
    """Remembers the token ids that every forward of `model` is called with, and what came out."""
    seen: list[Any] = []

    def remember(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        seen.append((kwargs, output))

    model.register_forward_hook(remember, with_kwargs=True)
    return seen


@pytest.mark.parametrize("kind", MODELS)
def test_every_token_of_every_repetition_is_timed(kind: str) -> None:
    model = MODELS[kind]()
    model.train()
    begun = time.perf_counter()
    found = generation_latency(model, batch_size=3, prompt_tokens=8, new_tokens=5, repetitions=Repetitions(4), device="cpu", seed=0)
    assert (found.batch_size, found.prompt_tokens, found.new_tokens, found.repeats) == (3, 8, 5, 4)
    assert 0 < found.ttft_ms.p50 <= found.ttft_ms.p90 <= found.ttft_ms.p99
    assert found.tpot_ms is not None
    assert found.tpot_ms.p50 > 0
    assert found.e2e_ms is not None
    assert found.e2e_ms.p50 > found.ttft_ms.p50, "the whole holds its beginning"
    assert found.tokens_per_second > 3 * 5 * 4 / (time.perf_counter() - begun), "set-up and warm-up are not counted"
    half_of_the_tokens = (found.ttft_ms.p50 + 4 * found.tpot_ms.p50) / 1000 / 2
    assert found.tokens_per_second < 3 * 5 / half_of_the_tokens
    assert model.training, "the model is left in the mode in which it came"


def test_one_new_token_has_no_time_per_further_token() -> None:
    found = generation_latency(decoder(), batch_size=1, prompt_tokens=4, new_tokens=1, repetitions=Repetitions(2), device="cpu", seed=0)
    assert found.tpot_ms is None
    assert found.e2e_ms is not None
    assert found.tokens_per_second == pytest.approx(1000 / found.e2e_ms.p50), "the median of two is their mean"


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder", "decoder with prefix"])
def test_the_tokens_are_those_of_greedy_generation(kind: str) -> None:
    import torch

    model = MODELS[kind]().eval()
    seen = watch(model.get_base_model() if hasattr(model, "get_base_model") else model)
    generation_latency(model, batch_size=2, prompt_tokens=6, new_tokens=7, repetitions=Repetitions(1), device="cpu", seed=5)
    prompt = seen[0][0]["input_ids"]
    steps = seen[:7]  # of the untimed repetition
    tokens = torch.cat([output.logits[:, -1:].argmax(-1) for _, output in steps], dim=1)
    expected = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=7, do_sample=False,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    assert len(seen) == 14 + 7, "one untimed repetition and one timed, then generate()'s own"
    assert torch.equal(tokens, expected[:, -7:])


def test_the_prompt_is_the_same_for_the_same_seed_and_within_the_vocabulary() -> None:
    import torch

    prompts = []
    for seed in (1, 1, 2):
        model = decoder()
        seen = watch(model)
        generation_latency(model, batch_size=2, prompt_tokens=50, new_tokens=1, repetitions=Repetitions(1), device="cpu", seed=seed)
        prompts.append(seen[0][0]["input_ids"])
    assert torch.equal(prompts[0], prompts[1])
    assert not torch.equal(prompts[0], prompts[2])
    assert prompts[0].max() < VOCABULARY


def test_the_head_is_applied_to_the_last_position_of_the_prompt_only() -> None:
    model = decoder()
    seen = watch(model)
    generation_latency(lora(model, "CAUSAL_LM"), batch_size=2, prompt_tokens=9, new_tokens=2, repetitions=Repetitions(1), device="cpu", seed=0)
    assert seen[0][1].logits.shape == (2, 1, VOCABULARY)
    assert seen[1][0]["input_ids"].shape == (2, 1), "further steps take one token and the cache"


def test_an_end_of_text_token_ends_nothing() -> None:
    import torch

    model = decoder()
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all logits alike: the first id is the likeliest
    model.generation_config.eos_token_id = model.config.eos_token_id = 0
    seen = watch(model)
    generation_latency(model, batch_size=2, prompt_tokens=3, new_tokens=6, repetitions=Repetitions(1), device="cpu", seed=0)
    assert len(seen) == 2 * 6
    assert not any(output.logits[:, -1].argmax(-1).any() for _, output in seen), "nothing but ends of text"


def test_repetitions_before_the_timed_ones_are_as_many_as_asked_for() -> None:
    model = decoder()
    seen = watch(model)
    found = generation_latency(model, batch_size=1, prompt_tokens=3, new_tokens=2, repetitions=Repetitions(2, warmup=3), device="cpu", seed=0)
    assert len(seen) == (3 + 2) * 2
    assert found.repeats == 2
