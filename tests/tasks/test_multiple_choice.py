"""Answers by likelihood: right for every architecture and answer length, whatever the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import VOCABULARY, decoder_config, encoder_decoder_config

from harness.errors import DataError, Diverged, Unsupported
from harness.tasks.batches import PaddingCollator, padding_collator
from harness.tasks.multiple_choice import (
    PromptTokenizer,
    Question,
    answer_scores,
    differing,
    questions_of,
    too_long,
    training_row,
)


def questions(count: int, *answers: tuple[int, ...]) -> list[Question]:
    generator = np.random.default_rng(0)
    return [Question(generator.integers(2, VOCABULARY, size=size), answers) for size in generator.integers(3, 60, size=count)]


SINGLE = ((10,), (11,), (12,), (13,))
SEVERAL = ((10,), (11, 20), (12, 21, 30), (13, 22))


def literal_score(model: Any, question: Question, answer: tuple[int, ...]) -> float:
    """The definition: log p(answer | prompt), one unpadded text at a time."""
    ids = torch.tensor([[*question.prompt.tolist(), *answer]])
    likelihoods = model(input_ids=ids).logits[0].log_softmax(dim=-1)
    first = len(question.prompt)
    return sum(float(likelihoods[first + place - 1, token]) for place, token in enumerate(answer))


@pytest.mark.parametrize("answers", [SINGLE, SEVERAL], ids=["single tokens", "several tokens"])
def test_scores_are_the_answers_log_likelihoods(causal_model: Any, answers: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    asked = questions(9, *answers)
    with torch.inference_mode():
        expected = [[literal_score(causal_model, question, answer) for answer in question.answers] for question in asked]
        for batch in (1, 8):
            found = answer_scores(causal_model, asked, PaddingCollator(1), context_of(decoder_tokenizer(), batch=batch))
            np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_model_that_cannot_skip_positions_gives_the_same(decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    class WithoutSkipping(LlamaForCausalLM):
        def forward(self, input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None) -> Any:
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    torch.manual_seed(0)
    plain = LlamaForCausalLM(decoder_config()).eval()
    whole = WithoutSkipping(plain.config).eval()
    whole.load_state_dict(plain.state_dict())
    context = context_of(decoder_tokenizer())
    with torch.inference_mode():
        found = [answer_scores(model, questions(5, *SEVERAL), PaddingCollator(1), context) for model in (plain, whole)]
    np.testing.assert_allclose(*found, atol=1e-5)


@pytest.mark.parametrize("answers", [SINGLE, SEVERAL], ids=["single tokens", "several tokens"])
def test_an_encoder_decoder_answers_on_its_decoders_side(answers: Any, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    asked = [Question(question.prompt, answers, False, (40,)) for question in questions(7)]
    with torch.inference_mode():
        expected = []
        for question in asked:
            scores = []
            for answer in answers:
                decoder = torch.tensor([[0, 40, *answer]])
                logits = model(input_ids=torch.tensor(question.prompt)[None], decoder_input_ids=decoder).logits[0]
                likelihoods = logits.log_softmax(dim=-1)
                scores.append(sum(float(likelihoods[1 + place, token]) for place, token in enumerate(answer)))
            expected.append(scores)
        for batch in (1, 8):
            context = context_of(encoder_decoder_tokenizer(), "encoder-decoder", batch=batch)
            np.testing.assert_allclose(answer_scores(model, asked, PaddingCollator(0), context), expected, atol=2e-4)


def test_virtual_tokens_of_prompt_tuning_do_not_shift_the_answer(decoder_tokenizer: Any, context_of: Any) -> None:
    from peft import PromptTuningConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(LlamaForCausalLM(decoder_config()), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)).eval()
    asked = questions(3, *SINGLE)
    with torch.inference_mode():
        found = answer_scores(model, asked, PaddingCollator(1), context_of(decoder_tokenizer()))
        for question, scores in zip(asked, found, strict=True):
            ids = torch.tensor(question.prompt)[None]
            last = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1].log_softmax(dim=-1)
            np.testing.assert_allclose(scores, last[[10, 11, 12, 13]], atol=2e-4)


def test_outputs_that_are_not_finite_end_the_cell(decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(decoder_config()).eval()
    model.lm_head.weight.data[5] = float("nan")
    with torch.inference_mode(), pytest.raises(Diverged, match="not finite"):
        answer_scores(model, questions(2, *SINGLE), PaddingCollator(1), context_of(decoder_tokenizer()))


def test_progress_ends_at_the_total(causal_model: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    from dataclasses import replace

    seen: list[tuple[int, int]] = []
    context = replace(context_of(decoder_tokenizer(), batch=4), progress=lambda done, total: seen.append((done, total)))
    with torch.inference_mode():
        answer_scores(causal_model, questions(6, *SINGLE), PaddingCollator(1), context)
    assert seen == [(4, 6), (6, 6)]


@pytest.mark.parametrize(
    ("sequences", "before", "middles", "after"),
    [
        ([[1, 5, 10], [1, 5, 11]], (1, 5), ((10,), (11,)), ()),
        ([[1, 5, 10, 2], [1, 5, 11, 2]], (1, 5), ((10,), (11,)), (2,)),
        ([[7, 10], [7, 11, 20]], (7,), ((10,), (11, 20)), ()),
        ([[7, 10], [7, 3, 10]], (7,), ((10,), (3, 10)), ()),
    ],
)
def test_sequences_are_split_where_they_differ(sequences: Any, before: Any, middles: Any, after: Any) -> None:
    found = differing(sequences)
    assert (found.before, found.middles, found.after) == (before, middles, after)


def test_answers_are_tokenized_as_a_continuation(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    (question,) = PromptTokenizer(context_of(tokenizer), "\nAnswer:", (" A", " B")).questions(["What?\nAnswer:"])
    whole = [tokenizer(f"What?\nAnswer: {letter}")["input_ids"] for letter in "AB"]
    assert [[*question.prompt.tolist(), *answer] for answer in question.answers] == whole
    assert question.answers == tuple((ids[-1],) for ids in whole)
    assert question.prompt[0] == tokenizer.bos_token_id


def test_an_end_of_text_that_the_tokenizer_appends_is_no_answer(decoder_tokenizer: Any, context_of: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = decoder_tokenizer()
    plain = list(PromptTokenizer(context_of(tokenizer), "\nAnswer:", (" A", " B")).questions(["What?\nAnswer:"]))
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    ended = list(PromptTokenizer(context_of(tokenizer), "\nAnswer:", (" A", " B")).questions(["What?\nAnswer:"]))
    tokenizer.backend_tokenizer.post_processor = before
    assert ended[0].answers == plain[0].answers
    assert ended[0].prompt.tolist() == plain[0].prompt.tolist()


def test_a_prompt_whose_end_is_tokenized_otherwise_is_tokenized_with_every_answer(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    (question,) = PromptTokenizer(context_of(tokenizer), "\n  x", (" A", "B")).questions(["What?"])
    whole = [tokenizer(f"What?{answer}")["input_ids"] for answer in (" A", "B")]
    assert [[*question.prompt.tolist(), *answer] for answer in question.answers] == whole


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_of_text(decoder_tokenizer: Any, context_of: Any) -> None:
    context = context_of(decoder_tokenizer())
    assert padding_collator(context).pad_token_id == 1
    padding_collator(context)
    assert context.notes == ["the tokenizer has no pad token: its end-of-text token </s> pads"]


def test_a_tokenizer_that_cannot_pad_at_all_is_unsupported(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(Unsupported, match="neither a pad token nor an end-of-text token"):
        padding_collator(context_of(tokenizer))


PROMPTS = ["Which of them?\nAnswer:", "A question", "Yes or no: is it so?"]
ANSWERS = [[" A", " B", " neither of them"], [" is the answer", " is the question. Answer: A"], [" yes"]]


def test_answers_of_any_number_and_length_are_scored_whole(causal_model: Any, decoder_tokenizer: Any, context_of: Any) -> None:
    """The definition: the joint likelihood of a text, less that of its prompt."""
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer)
    asked = questions_of(PROMPTS, ANSWERS, context)
    with torch.inference_mode():
        found = answer_scores(causal_model, asked, padding_collator(context), context)
        for prompt, answers, scores, question in zip(PROMPTS, ANSWERS, found, asked, strict=True):
            assert scores.shape == (len(answers),)
            assert tokenizer.decode(question.prompt[1:]) == prompt
            for answer, score, tokens in zip(answers, scores, question.answers, strict=True):
                assert tokenizer.decode(tokens) == answer
                assert score == pytest.approx(_whole_text(causal_model, tokenizer, prompt + answer) - _whole_text(causal_model, tokenizer, prompt), abs=2e-4)


def _whole_text(model: Any, tokenizer: Any, text: str) -> float:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    likelihoods = model(input_ids=ids[:, :-1]).logits[0].log_softmax(dim=-1)
    return float(likelihoods.gather(1, ids[0, 1:, None]).sum())


def test_an_encoder_decoders_own_answers_are_the_decoders_texts(encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    """As transformers' own loss over the labels has it, end-of-text left out."""
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(encoder_decoder_config()).eval()
    tokenizer = encoder_decoder_tokenizer()
    context = context_of(tokenizer, "encoder-decoder", model_context=None)
    asked = questions_of(PROMPTS, ANSWERS, context)
    with torch.inference_mode():
        found = answer_scores(model, asked, padding_collator(context), context)
        for prompt, answers, scores in zip(PROMPTS, ANSWERS, found, strict=True):
            for answer, score in zip(answers, scores, strict=True):
                labels = tokenizer([answer], add_special_tokens=False, return_tensors="pt")["input_ids"]
                loss = model(input_ids=tokenizer([prompt], return_tensors="pt")["input_ids"], labels=labels).loss
                assert score == pytest.approx(-float(loss) * labels.shape[1], abs=2e-4)


def test_tokens_across_the_border_belong_to_the_answer(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    assert len(tokenizer("Answ")["input_ids"]) > 2, "Answer is one token, and its beginning several"
    (question,) = questions_of(["The Answ"], [["er", "ers"]], context_of(tokenizer))
    texts = [tokenizer(f"The Answ{answer}")["input_ids"] for answer in ("er", "ers")]
    assert [[*question.prompt.tolist(), *answer] for answer in question.answers] == texts
    assert tokenizer.decode(question.prompt[1:]) == "The"


def test_a_blank_at_the_prompts_end_is_the_answers(decoder_tokenizer: Any, context_of: Any) -> None:
    context = context_of(decoder_tokenizer())
    (behind,), (before,) = (questions_of([prompt], [answers], context) for prompt, answers in (("Answer: ", ["A", "B"]), ("Answer:", [" A", " B"])))
    assert behind.prompt.tolist() == before.prompt.tolist()
    assert behind.answers == before.answers


def test_an_answer_behind_no_prompt_follows_the_beginning_of_text(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.backend_tokenizer.post_processor, before = None, tokenizer.backend_tokenizer.post_processor
    (question,) = questions_of([""], [["Answer: A", "Answer: B"]], context_of(tokenizer))
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(Unsupported, match="neither a beginning-of-text nor an end-of-text token"):
        questions_of([""], [["Answer: A"]], context_of(tokenizer))
    tokenizer.backend_tokenizer.post_processor = before
    assert question.prompt.tolist() == [0]
    assert [tokenizer.decode(answer) for answer in question.answers] == ["Answer: A", "Answer: B"]


def test_an_answer_without_tokens_is_refused(decoder_tokenizer: Any, context_of: Any) -> None:
    with pytest.raises(DataError, match=r"an answer has no tokens, so that nothing can be scored: '' after 'Which\?'"):
        questions_of(["Which?"], [[" A", ""]], context_of(decoder_tokenizer()))
    with pytest.raises(DataError, match=r"a question has no answers to choose from: 'Which\?'"):
        questions_of(["Which?"], [[]], context_of(decoder_tokenizer()))


def test_a_prompt_too_long_loses_its_beginning_for_each_answer_by_itself(decoder_tokenizer: Any, context_of: Any) -> None:
    """A short answer leaves more of the prompt than a long one."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(decoder_config(context=20)).eval()
    context = context_of(decoder_tokenizer(), model_context=20)
    (long,), (short,) = questions(1, *SEVERAL), [Question(np.arange(2, 10), SEVERAL)]
    long = Question(np.arange(2, 40), SEVERAL)
    assert [too_long([question], context) for question in (long, short)] == [1, 0]
    with torch.inference_mode():
        (scores, _) = answer_scores(model, [long, short], PaddingCollator(1), context)
        for answer, score in zip(SEVERAL, scores, strict=True):
            text = torch.tensor([[*long.prompt.tolist(), *answer]])[:, -21:]
            likelihoods = model(input_ids=text[:, :-1]).logits[0].log_softmax(dim=-1)
            assert score == pytest.approx(float(likelihoods.gather(1, text[0, 1:, None])[-len(answer) :].sum()), abs=2e-4)


def test_an_answer_longer_than_the_context_is_unsupported(decoder_tokenizer: Any, context_of: Any) -> None:
    from transformers import LlamaForCausalLM

    asked = [Question(np.arange(2, 5), (tuple(range(2, 30)),))]
    with pytest.raises(Unsupported, match="question 1 has an answer of 28 tokens, and the model's context is 20"):
        answer_scores(LlamaForCausalLM(decoder_config(context=20)), asked, PaddingCollator(1), context_of(decoder_tokenizer(), model_context=20))


def test_a_row_to_train_on_has_its_loss_on_the_whole_answer(decoder_tokenizer: Any, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    for tokenizer, kind in ((decoder_tokenizer(), "decoder"), (encoder_decoder_tokenizer(), "encoder-decoder")):
        question = questions_of(PROMPTS, ANSWERS, context_of(tokenizer, kind))[0]
        row = training_row(question, 2)
        assert tokenizer.decode([token for token in row["labels"] if token != -100]).strip() == "neither of them"
        assert (len(row["labels"]) == len(row["input_ids"])) == (kind == "decoder")
