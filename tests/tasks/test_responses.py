"""Prompts and responses in tokens: where the loss is, what is cut and counted, and which tokens stay whatever is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import Unsupported
from harness.tasks.base import TaskContext
from harness.tasks.responses import Lengths, ResponseTokenizer

ContextOf = Callable[..., TaskContext]
BEGIN, END = 0, 1  # of the decoders' tokenizer


def test_a_decoders_row_is_beginning_prompt_response_and_end_with_the_loss_on_the_response(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = decoder_tokenizer()
    (row,) = ResponseTokenizer(context_of(tokenizer), Lengths()).rows(["Answer:"], [" yes"])
    assert tokenizer.decode(row["input_ids"]) == "<s>Answer: yes</s>"
    prompt = len(tokenizer("Answer:")["input_ids"])
    assert row["labels"] == [-100] * prompt + row["input_ids"][prompt:]
    assert tokenizer.decode(row["labels"][prompt:]) == " yes</s>"


def test_what_is_asked_at_evaluation_is_what_was_trained_on(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokens = ResponseTokenizer(context_of(decoder_tokenizer()), Lengths(), ending="\nA:")
    (row,), (prompt,) = tokens.rows(["What?"], [" no"]), tokens.prompts(["What?"], 8)
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"][: len(prompt) + 1] == [-100] * len(prompt) + [row["input_ids"][len(prompt)]]


def test_an_encoder_decoder_reads_the_prompt_and_writes_the_response(encoder_decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = encoder_decoder_tokenizer()
    (row,) = ResponseTokenizer(context_of(tokenizer, "encoder-decoder"), Lengths()).rows(["Question"], ["Answer"])
    assert row == {"input_ids": tokenizer("Question")["input_ids"], "labels": tokenizer("Answer")["input_ids"]}
    assert row["input_ids"][-1] == row["labels"][-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(("keep", "kept", "lost"), [("end", "fgh", "beginning"), ("beginning", "abc", "end")])
def test_a_long_prompt_is_cut_between_its_special_tokens_and_before_its_ending(decoder_tokenizer: Any, context_of: ContextOf, keep: str, kept: str, lost: str) -> None:
    tokenizer = decoder_tokenizer()
    context = context_of(tokenizer)
    tokens = ResponseTokenizer(context, Lengths(prompt=6, keep=keep), ending="=>")
    assert tokenizer.decode(tokens.prompts(["abcdefgh", "ab"], 4)[0]) == f"<s>{kept}=>"
    assert not tokens.shortened, "it is no shorter than the task asks"
    tokens.say("test")
    assert context.notes == [f"test: 1 of 2 prompts were too long and lost their {lost}"]


def test_an_encoders_cut_prompt_still_ends_its_text(encoder_decoder_tokenizer: Any, context_of: ContextOf) -> None:
    tokenizer = encoder_decoder_tokenizer()
    tokens = ResponseTokenizer(context_of(tokenizer, "encoder-decoder"), Lengths(prompt=5, keep="beginning"))
    (prompt,) = tokens.prompts(["The following are questions"], 4)
    assert len(prompt) == 5
    assert prompt == [*tokenizer("The following are questions")["input_ids"][:4], tokenizer.eos_token_id]


def test_the_models_context_leaves_room_for_what_is_generated(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    context = context_of(decoder_tokenizer(), model_context=20)
    tokens = ResponseTokenizer(context, Lengths())
    assert [len(prompt) for prompt in tokens.prompts(["q" * 60, "q" * 5], 8)] == [12, 6]
    assert tokens.shortened
    tokens.say("test")
    assert context.notes == ["test: 1 of 2 prompts were too long and lost their beginning"]
    with pytest.raises(Unsupported, match="context of 20 tokens has no room for a prompt and 19 new tokens"):
        tokens.prompts(["q"], 19)


def test_a_response_gets_its_room_first_and_does_not_end_where_it_is_cut(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    context = context_of(decoder_tokenizer(), max_length=12)
    tokens = ResponseTokenizer(context, Lengths(response=6))
    long_prompt, long_response = tokens.rows(["q" * 30, "q"], ["yes", "y" * 30])
    assert len(long_prompt["input_ids"]) == 12
    assert long_prompt["input_ids"][0] == BEGIN
    assert [label for label in long_prompt["labels"] if label != -100] == long_prompt["input_ids"][-3:]
    assert long_prompt["labels"][-1] == END
    assert sum(label != -100 for label in long_response["labels"]) == 6
    assert END not in long_response["labels"]
    tokens.say("test")
    assert context.notes == ["test: 1 of 2 prompts were too long and lost their beginning", "test: 1 of 2 responses were too long and lost their end"]


def test_a_length_without_room_for_both_is_refused(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    with pytest.raises(Unsupported, match=r"train\.max_length: 2 has no room"):
        ResponseTokenizer(context_of(decoder_tokenizer(), max_length=2), Lengths()).rows(["q"], ["a"])


def test_an_ending_that_is_the_end_of_text_token_stays(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    (prompt,) = ResponseTokenizer(context_of(decoder_tokenizer()), Lengths(), ending="</s>").prompts(["a"], 4)
    assert prompt[-1] == END


def test_an_end_of_text_token_that_the_tokenizer_appends_is_not_in_a_decoders_prompt(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from tokenizers import processors

    tokenizer = decoder_tokenizer()
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", BEGIN), ("</s>", END)])
    try:
        (prompt,) = ResponseTokenizer(context_of(tokenizer), Lengths()).prompts(["ab"], 4)
        assert tokenizer.decode(prompt) == "<s>ab"
    finally:
        tokenizer.backend_tokenizer.post_processor = before


def test_an_empty_prompt_begins_with_the_tokenizers_beginning_or_is_refused(decoder_tokenizer: Any, context_of: ContextOf) -> None:
    from tokenizers import processors

    tokenizer = decoder_tokenizer()
    assert ResponseTokenizer(context_of(tokenizer), Lengths()).prompts([""], 4) == [[BEGIN]]
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    try:
        tokenizer.bos_token = None
        assert ResponseTokenizer(context_of(tokenizer), Lengths()).prompts([""], 4) == [[END]]
        tokenizer.eos_token = None
        with pytest.raises(Unsupported, match="an empty prompt"):
            ResponseTokenizer(context_of(tokenizer), Lengths()).prompts([""], 4)
    finally:
        tokenizer.backend_tokenizer.post_processor = before
