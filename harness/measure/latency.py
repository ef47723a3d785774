"""Speed of generation: time to the first token, time per further token, end to end, tokens per second."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.measure.clock import percentiles
from harness.measure.torch_memory import synchronise
from harness.records.measured import Latency

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Repetitions:
    """How often a measurement is made: `warmup` times untimed, then `timed` times."""

    timed: int
    warmup: int = 1


def generation_latency(model: Any, batch_size: int, prompt_tokens: int, new_tokens: int, repetitions: Repetitions, device: str, seed: int) -> Latency:
    """Greedy generation with the key-value cache, one token for every sequence of the batch at a time.

    model: a decoder or an encoder-decoder with a language-model head, wrapped by PEFT or not, with positions for
    prompt and new tokens. The prompt's ids are random, the same for the same seed; all `new_tokens` are generated, an
    end-of-text token among them ends nothing. The first token's time is that of the forward pass over the prompt
    (encoder-decoder: encoder and first decoder step), e2e_ms that from the prompt to the last token. The device is
    synchronised at every token, as it is for a reader of a stream. tpot_ms is over all further tokens of all timed
    repetitions, None for new_tokens == 1; tokens_per_second counts the whole batch.

    Raises Unsupported for an encoder-decoder whose configuration does not say what decoding begins with.
    """
    import torch

    prompt = random_ids(model, batch_size, prompt_tokens, seed)
    times = _Times()
    with evaluating(model), torch.inference_mode():
        for _ in range(repetitions.warmup):
            _generate(model, prompt, new_tokens, device, _Times())
        for _ in range(repetitions.timed):
            _generate(model, prompt, new_tokens, device, times)
    ttft_ms = percentiles(times.first_ms)
    assert ttft_ms is not None, "at least one repetition is timed"
    return Latency(
        batch_size=batch_size, prompt_tokens=prompt_tokens, new_tokens=new_tokens, repeats=repetitions.timed,
        ttft_ms=ttft_ms, tpot_ms=percentiles(times.further_ms), e2e_ms=percentiles(times.whole_ms),
        tokens_per_second=batch_size * new_tokens * repetitions.timed / (sum(times.whole_ms) / 1000),
    )  # fmt: skip


def random_ids(model: Any, batch_size: int, tokens: int, seed: int) -> torch.Tensor:
    """Token ids of shape (batch_size, tokens) on the model's device, drawn from its whole vocabulary: the same for the same seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    return torch.randint(0, vocabulary, (batch_size, tokens), generator=generator).to(model.device)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in eval mode, afterwards in the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def milliseconds_since(before: float) -> float:
    """Milliseconds since that reading of time.perf_counter()."""
    return (time.perf_counter() - before) * 1000


@dataclass
class _Times:
    """Milliseconds of every first token, of every further one, and of every repetition."""

    first_ms: list[float] = field(default_factory=list)
    further_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)


def _generate(model: Any, prompt: torch.Tensor, new_tokens: int, device: str, times: _Times) -> None:
    """One generation, its times added to `times`."""
    synchronise(device)
    begun = time.perf_counter()
    outputs = _first_forward(model, prompt)
    token = outputs.logits[:, -1:].argmax(dim=-1)
    synchronise(device)
    times.first_ms.append(milliseconds_since(begun))
    for _ in range(new_tokens - 1):
        before = time.perf_counter()
        outputs = _next_forward(model, token, outputs)
        token = outputs.logits[:, -1:].argmax(dim=-1)
        synchronise(device)
        times.further_ms.append(milliseconds_since(before))
    times.whole_ms.append(milliseconds_since(begun))


def _first_forward(model: Any, prompt: torch.Tensor) -> Any:
    import torch

    if model.config.is_encoder_decoder:
        start = torch.full((len(prompt), 1), _start_token(model), device=prompt.device)
        return model(input_ids=prompt, decoder_input_ids=start, use_cache=True)
    return model(input_ids=prompt, use_cache=True, **_last_logits_only(model))


def _next_forward(model: Any, token: torch.Tensor, outputs: Any) -> Any:
    """The step after `outputs`, from its cache."""
    stepping = _behind_virtual_tokens(model)
    if not model.config.is_encoder_decoder:
        return stepping(input_ids=token, past_key_values=outputs.past_key_values, use_cache=True)
    return stepping(
        encoder_outputs=(outputs.encoder_last_hidden_state,),
        decoder_input_ids=token,
        past_key_values=outputs.past_key_values,
        use_cache=True,
    )


def _behind_virtual_tokens(model: Any) -> Any:
    """The model for the steps after the first: PEFT's prompt methods put their virtual tokens before every input,
    and after the first step these are in the cache already."""
    peft_config = getattr(model, "active_peft_config", None)
    return model.get_base_model() if peft_config is not None and peft_config.is_prompt_learning else model


def _last_logits_only(model: Any) -> dict[str, int]:
    """As generate() does: the head is applied to the prompt's last position only, where the model can."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(base.forward).parameters else {}


def _start_token(model: Any) -> int:
    """The id that decoding begins with; generation_config's, else the model's own, else the padding id."""
    for config in (model.generation_config, model.config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    padding = model.config.pad_token_id
    if padding is None:
        raise Unsupported("generation: the model's configuration names no decoder_start_token_id and no pad_token_id")
    return int(padding)
