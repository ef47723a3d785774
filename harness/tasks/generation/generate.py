"""Prompts in tokens -> the texts that a language model goes on with, found by greedy or beam search; nothing is sampled.

Decoders' prompts are padded on the left: generation goes on from a row's last column, which must be the prompt's last token and
not padding. Transformers counts positions over the attention mask, so a prompt has the same ones as alone. An encoder's input is
padded on the right as everywhere else, because its decoder starts anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.errors import Diverged, Unsupported
from harness.tasks.base import TaskContext
from harness.tasks.batches import in_batches, padding_collator

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList


@dataclass(frozen=True)
class Decoding:
    """How a text is found; the names are transformers' GenerationConfig's.

    max_new_tokens: a text that has not ended by then is cut there. num_beams: 1 is greedy. length_penalty: exponent of the length
    that a beam's log-likelihood is divided by (no beams, no effect). no_repeat_ngram_size: n-grams of this size occur once in a
    text, whatever its prompt has (transformers' own counts a decoder's prompt too, so that a text could repeat nothing of what it
    is to tell); 0: no limit. stop: a text ends before the first of these strings.
    """

    max_new_tokens: int
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stop: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """For protocol ids: `greedy-64`, `beam10-lp0.9-norepeat4-64`; strings to stop at belong to the task's prompt."""
        beams = f"beam{self.num_beams}-lp{self.length_penalty:g}" if self.num_beams > 1 else "greedy"
        no_repeat = f"-norepeat{self.no_repeat_ngram_size}" if self.no_repeat_ngram_size else ""
        return f"{beams}{no_repeat}-{self.max_new_tokens}"


def generated(model: Any, prompts: Sequence[Sequence[int]], context: TaskContext, decoding: Decoding) -> list[str]:
    """The text that the model writes after each prompt, in their order, without special tokens and without the prompt.

    model: a decoder or an encoder-decoder with a language-model head, wrapped by PEFT or not, quantized or not. prompts: token
    ids as responses.ResponseTokenizer.prompts gives them. A text ends before an end-of-text token (the tokenizer's or one of the
    checkpoint's), before a stop string, or after max_new_tokens. The checkpoint's own generation settings (sampling, repetition
    penalty, ...) are set aside. A batch holds context.eval_batch_size rows, beams counted as rows.

    Raises Unsupported where prompts cannot be padded, are empty, or decoding has nothing to begin with, and Diverged where the
    model's outputs are not finite.
    """
    import torch

    if any(not len(prompt) for prompt in prompts):
        raise Unsupported("a prompt without a single token: there is nothing that a text could follow")
    pad_token_id = padding_collator(context).pad_token_id
    config = generation_config(model, context, decoding, pad_token_id)
    ends = set(config.eos_token_id or ())
    texts = [""] * len(prompts)

    def evaluate(indices: list[int]) -> None:
        inputs = _padded([prompts[index] for index in indices], pad_token_id, left=context.model.kind == "decoder")
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        start = inputs["input_ids"].shape[1] if context.model.kind == "decoder" else 1
        sequences = model.generate(
            **inputs, generation_config=config, logits_processor=_processors(decoding, start), stopping_criteria=_stops(decoding, start, context)
        )
        for index, ids in zip(indices, sequences[:, start:].tolist(), strict=True):
            texts[index] = _text(ids, ends, context, decoding)

    rows = replace(context, eval_batch_size=max(1, context.eval_batch_size // decoding.num_beams))
    with torch.inference_mode(), _own_settings_aside(model, config):
        in_batches([len(prompt) + decoding.max_new_tokens for prompt in prompts], rows, evaluate)
    return texts


def generation_config(model: Any, context: TaskContext, decoding: Decoding, pad_token_id: int) -> GenerationConfig:
    """Everything that decides a generation. Of the checkpoint's own settings only the tokens that begin and end its texts are kept.

    Raises Unsupported for an encoder-decoder that does not say which token decoding begins with.
    """
    from transformers import GenerationConfig

    own = _base(model).generation_config
    ends = _ends(own.eos_token_id, context)
    start = own.decoder_start_token_id
    if start is None and context.model.kind == "encoder-decoder":
        start = _base(model).config.decoder_start_token_id
        if start is None:
            raise Unsupported("the model's configuration has no decoder_start_token_id, so there is nothing to begin a text with")
    beams = {"num_beams": decoding.num_beams, "length_penalty": decoding.length_penalty} if decoding.num_beams > 1 else {"num_beams": 1}
    return GenerationConfig(
        do_sample=False, use_cache=True, max_new_tokens=decoding.max_new_tokens, **beams,
        pad_token_id=pad_token_id, eos_token_id=ends or None, bos_token_id=own.bos_token_id,
        decoder_start_token_id=start, forced_bos_token_id=own.forced_bos_token_id,
    )  # fmt: skip


def _ends(own: int | list[int] | None, context: TaskContext) -> list[int]:
    """The tokenizer's end-of-text token and those of the checkpoint (chat models have several)."""
    tokens = [own] if isinstance(own, int) else list(own or ())
    if context.tokenizer.eos_token_id is not None and context.tokenizer.eos_token_id not in tokens:
        tokens.append(context.tokenizer.eos_token_id)
    if not tokens:
        context.note("neither the tokenizer nor the model has an end-of-text token: generated texts end at max_new_tokens or a stop string")
    return tokens


def _base(model: Any) -> Any:
    """The transformers model below a PEFT wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _own_settings_aside(model: Any, config: GenerationConfig) -> Iterator[None]:
    """While it lasts, `config` stands in the place of the model's own settings: generate() takes from there what an explicit
    configuration leaves open (a repetition penalty, forbidden words), and PEFT's generate() hands them on."""
    base = _base(model)
    own, base.generation_config = base.generation_config, config
    try:
        yield
    finally:
        base.generation_config = own


def _padded(prompts: list[Sequence[int]], pad_token_id: int, *, left: bool) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` of shape (prompts, longest prompt)."""
    import torch

    ids = torch.full((len(prompts), max(map(len, prompts))), pad_token_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        columns = slice(-len(prompt), None) if left else slice(len(prompt))
        ids[row, columns] = torch.as_tensor(prompt, dtype=torch.long)
        mask[row, columns] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _processors(decoding: Decoding, start: int) -> LogitsProcessorList:
    """What looks at every step's scores: refusal of what is not finite, and of n-grams that the text (from column `start`) has."""
    from transformers import LogitsProcessor, LogitsProcessorList, NoRepeatNGramLogitsProcessor

    class RefuseNonFinite(LogitsProcessor):
        """The argmax of what is not a number is a token like any other."""

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            if bool((scores.isnan() | scores.isposinf()).any()):
                raise Diverged("generation: the model's outputs are not finite (its weights diverged, or its dtype overflows)")
            return scores

    class NoRepeatBehindPrompt(NoRepeatNGramLogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().__call__(input_ids[:, start:], scores)
            return found

    no_repeat = [NoRepeatBehindPrompt(decoding.no_repeat_ngram_size)] if decoding.no_repeat_ngram_size else []
    return LogitsProcessorList([RefuseNonFinite(), *no_repeat])


def _stops(decoding: Decoding, start: int, context: TaskContext) -> StoppingCriteriaList:
    """Ends a row whose text (from column `start`) has come to a stop string. Transformers' own criterion also finds one that begins
    in the prompt, and fails for a tokenizer that cannot write the string at all (T5's has no line breaks)."""
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    if not decoding.stop:
        return StoppingCriteriaList()
    looked_at = max(len(stop.encode()) for stop in decoding.stop) + 2  # tokens; each writes a byte or more

    class StopStrings(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            texts = context.tokenizer.batch_decode(input_ids[:, start:][:, -looked_at:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            return torch.tensor([any(stop in text for stop in decoding.stop) for text in texts], device=input_ids.device)

    return StoppingCriteriaList([StopStrings()])


def _text(ids: list[int], ends: set[int], context: TaskContext, decoding: Decoding) -> str:
    """What stands before the first end-of-text token and the first stop string; blanks before punctuation are left as they are."""
    length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    text = str(context.tokenizer.decode(ids[:length], skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return text[: min((place for stop in decoding.stop if (place := text.find(stop)) >= 0), default=len(text))]
