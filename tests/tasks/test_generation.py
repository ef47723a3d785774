"""Generation: the texts of a batch are those that transformers' own generate finds item by item, whatever the checkpoint's settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import VOCABULARY, decoder_config, encoder_decoder_config

from harness.errors import Diverged, Unsupported
from harness.micro import model_path
from harness.tasks.base import TaskContext
from harness.tasks.generation.generate import Decoding, generated

GREEDY = Decoding(12)
BEAMS = Decoding(12, num_beams=3, length_penalty=0.8)
WITHOUT_PAD = "the tokenizer has no pad token: its end-of-text token </s> pads"


def prompts(count: int = 9, vocabulary: int = VOCABULARY) -> list[list[int]]:
    """Prompts of different lengths, so that most of a batch is padded."""
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(3, vocabulary, (1 + 3 * number % 17,), generator=draw).tolist() for number in range(count)]


def alone(model: Any, tokenizer: Any, prompt: list[int], **settings: Any) -> str:
    """What transformers' generate goes on with after a single prompt, without padding; None of this is the harness's."""
    with torch.no_grad():
        ids = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False, pad_token_id=tokenizer.eos_token_id, **settings)[0]
    start = 1 if model.config.is_encoder_decoder else len(prompt)
    return str(tokenizer.decode(ids[start:], skip_special_tokens=True))


@pytest.mark.parametrize("decoding", [GREEDY, BEAMS], ids=lambda decoding: decoding.id)
def test_a_decoders_texts_are_those_of_one_prompt_at_a_time(causal_model: Any, decoder_tokenizer: Any, context_of: Callable[..., TaskContext], decoding: Decoding) -> None:
    settings = {"max_new_tokens": 12, "num_beams": 3, "length_penalty": 0.8} if decoding is BEAMS else {"max_new_tokens": 12}
    expected = [alone(causal_model, decoder_tokenizer(), prompt, **settings) for prompt in prompts()]
    assert len(set(expected)) == len(expected)
    for batch in (1, 8):
        assert generated(causal_model, prompts(), context_of(decoder_tokenizer(), batch=batch), decoding) == expected


@pytest.mark.parametrize("decoding", [GREEDY, Decoding(12, num_beams=3, no_repeat_ngram_size=2)], ids=lambda decoding: decoding.id)
def test_an_encoder_decoders_texts_are_those_of_one_prompt_at_a_time(encoder_decoder_tokenizer: Any, context_of: Callable[..., TaskContext], decoding: Decoding) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    settings = {"max_new_tokens": 12} if decoding is GREEDY else {"max_new_tokens": 12, "num_beams": 3, "no_repeat_ngram_size": 2}
    expected = [alone(model, encoder_decoder_tokenizer(), prompt, **settings) for prompt in prompts()]
    assert len(set(expected)) > 3
    for batch in (1, 8):
        assert generated(model, prompts(), context_of(encoder_decoder_tokenizer(), "encoder-decoder", batch=batch), decoding) == expected


@pytest.mark.parametrize(("name", "kind"), [("decoder", "decoder"), ("seq2seq", "encoder-decoder")])
def test_the_micro_models_write_the_same_texts_in_any_batch(name: str, kind: str, context_of: Callable[..., TaskContext]) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    factory = AutoModelForCausalLM if kind == "decoder" else AutoModelForSeq2SeqLM
    model = factory.from_pretrained(model_path(name), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_path(name))
    asked = [tokenizer(text)["input_ids"] for text in ("The", "The baker has <extra_id_0> the", "a film about life <extra_id_0> town , and it", "Whose house is in Linhaven ?")]
    texts = [generated(model, asked, context_of(tokenizer, kind, batch=batch), BEAMS) for batch in (1, 8)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def test_a_checkpoints_own_settings_are_set_aside_and_put_back(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    from transformers import GenerationConfig

    model = llama()
    plain = generated(model, prompts(), context_of(decoder_tokenizer()), GREEDY)
    own = GenerationConfig(do_sample=True, temperature=5.0, top_k=3, repetition_penalty=9.0, no_repeat_ngram_size=1, min_new_tokens=9, bad_words_ids=[[7]], eos_token_id=1)
    model.generation_config = own
    assert generated(model, prompts(), context_of(decoder_tokenizer()), GREEDY) == plain
    assert model.generation_config is own
    model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(Diverged, match="not finite"):
        generated(model, prompts(), context_of(decoder_tokenizer()), GREEDY)
    assert model.generation_config is own


def llama(**more: Any) -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(decoder_config(**more)).eval()


def test_a_text_ends_before_the_end_of_text_tokens_of_tokenizer_and_checkpoint(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    model, tokenizer = llama(), decoder_tokenizer()
    (whole,) = generated(model, prompts()[4:5], context_of(tokenizer), GREEDY)
    third = model.generate(torch.tensor(prompts()[4:5]), max_new_tokens=3, do_sample=False, pad_token_id=1)[0, -1].item()
    model.generation_config.eos_token_id = [1, third]
    (ended,) = generated(model, prompts()[4:5], context_of(tokenizer), GREEDY)
    assert whole.startswith(ended)
    assert len(ended) < len(whole)


def test_a_text_ends_before_the_first_stop_string(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    model, tokenizer = llama(), decoder_tokenizer()
    texts = generated(model, prompts(), context_of(tokenizer), GREEDY)
    stops = (texts[0][4:6], texts[3][2:4])
    expected = [text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))] for text in texts]
    assert expected != texts
    for batch in (1, 8):
        assert generated(model, prompts(), context_of(tokenizer, batch=batch), Decoding(12, stop=stops)) == expected


def test_a_row_is_done_at_its_stop_string_but_not_at_one_that_its_prompt_begins(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    model, tokenizer, steps = llama(), decoder_tokenizer(), []
    model.register_forward_pre_hook(lambda *_: steps.append(1))
    prompt = tokenizer("Answer: A")["input_ids"]
    whole = generated(model, [prompt], context_of(tokenizer), GREEDY)[0]
    steps.clear()
    assert generated(model, [prompt], context_of(tokenizer), Decoding(12, stop=("A" + whole[0],))) == [whole], "this one is half in the prompt"
    assert len(steps) == 12
    steps.clear()
    assert generated(model, [prompt], context_of(tokenizer), Decoding(12, stop=(whole[:3],))) == [""]
    assert len(steps) < 12


def test_a_stop_string_that_the_tokenizer_cannot_write_stops_nothing(encoder_decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model, context = T5ForConditionalGeneration(encoder_decoder_config()).eval(), context_of(encoder_decoder_tokenizer(), "encoder-decoder")
    assert generated(model, prompts(), context, Decoding(8, stop=("\n\n",))) == generated(model, prompts(), context, Decoding(8))


def test_what_a_prompt_says_may_be_said_again_but_nothing_twice(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    model, tokenizer = llama(), decoder_tokenizer()
    asked = [torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(seed))[:200].tolist() for seed in range(4)]
    expected = []
    for prompt in asked:
        ids: list[int] = []
        with torch.no_grad():
            while len(ids) < 12 and 1 not in ids:
                scores = model(torch.tensor([prompt + ids])).logits[0, -1]
                scores[ids] = -torch.inf
                ids.append(int(scores.argmax()))
        expected.append(tokenizer.decode(ids, skip_special_tokens=True))
    assert generated(model, asked, context_of(tokenizer, batch=3), Decoding(12, no_repeat_ngram_size=1)) == expected
    assert expected != [alone(model, tokenizer, prompt, max_new_tokens=12, no_repeat_ngram_size=1) for prompt in asked], "transformers' own counts the prompt"


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_of_text_token(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    context = context_of(decoder_tokenizer())
    generated(llama(), prompts(), context, GREEDY)
    assert context.notes == [WITHOUT_PAD]


def test_a_tokenizer_with_neither_is_refused(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(Unsupported, match="neither a pad token nor an end-of-text token"):
        generated(llama(), prompts(), context_of(tokenizer), GREEDY)


def test_without_any_end_of_text_token_texts_are_as_long_as_they_may_and_the_notes_say_so(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    tokenizer, model = decoder_tokenizer(), llama()
    tokenizer.pad_token, tokenizer.eos_token = "<s>", None
    model.generation_config.eos_token_id = None
    context = context_of(tokenizer)
    generated(model, prompts(), context, GREEDY)
    assert context.notes == ["neither the tokenizer nor the model has an end-of-text token: generated texts end at max_new_tokens or a stop string"]


def test_an_empty_prompt_and_a_decoder_that_begins_with_nothing_are_refused(decoder_tokenizer: Any, encoder_decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    from transformers import T5ForConditionalGeneration

    with pytest.raises(Unsupported, match="without a single token"):
        generated(llama(), [[3], []], context_of(decoder_tokenizer()), GREEDY)
    model = T5ForConditionalGeneration(encoder_decoder_config())
    model.generation_config.decoder_start_token_id = model.config.decoder_start_token_id = None
    with pytest.raises(Unsupported, match="no decoder_start_token_id"):
        generated(model, [[3]], context_of(encoder_decoder_tokenizer(), "encoder-decoder"), GREEDY)


def test_beams_count_as_rows_of_a_batch(decoder_tokenizer: Any, context_of: Callable[..., TaskContext]) -> None:
    model, rows = llama(), []
    model.register_forward_pre_hook(lambda module, arguments, named: rows.append(len(named["input_ids"])), with_kwargs=True)
    generated(model, [[5] * 8] * 6, context_of(decoder_tokenizer(), batch=6), BEAMS)
    assert max(rows) == 6


def test_the_decoding_is_named_by_all_that_decides_it() -> None:
    assert Decoding(64).id == "greedy-64"
    assert Decoding(64, length_penalty=0.9).id == "greedy-64", "a length penalty does nothing without beams"
    assert Decoding(64, num_beams=10, length_penalty=0.9, no_repeat_ngram_size=4).id == "beam10-lp0.9-norepeat4-64"
