"""Sentences that do not fit are counted, with every kind of tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_models import decoder_config
from tokenizers import processors

from harness.errors import Unsupported
from harness.tasks.batches import padding_collator
from harness.tasks.classification import head_outputs, tokenized_sentences

SHORT, LONG = "the answer", "the question is which answer " * 30


def notes(columns: list[list[str]], context: Any) -> list[str]:
    rows = tokenized_sentences(columns, context)
    assert max(len(row["input_ids"]) for row in rows) <= context.max_length
    return list(context.notes)


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_rows_that_lose_tokens_are_counted(kind: str, decoder_tokenizer: Any, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = (decoder_tokenizer if kind == "decoder" else encoder_decoder_tokenizer)()
    says = ["2 of 3 rows were longer than max_length (64 tokens) and lost tokens from the end of the longer sentence"]
    assert notes([[SHORT, LONG, LONG]], context_of(tokenizer, kind)) == says
    assert notes([[SHORT, LONG, SHORT], [SHORT, SHORT, LONG]], context_of(tokenizer, kind)) == says
    assert notes([[SHORT, ""], ["", SHORT]], context_of(tokenizer, kind)) == []


def test_an_empty_sentence_is_the_token_that_a_text_begins_with(decoder_tokenizer: Any, context_of: Any) -> None:
    """GPT-2's tokenizer, and most since, put nothing before a text: a batch of no tokens at all crashes in the model."""
    tokenizer = decoder_tokenizer()
    tokenizer.add_bos_token = False
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    context = context_of(tokenizer)
    rows = tokenized_sentences([["", SHORT, ""]], context)
    assert [row["input_ids"].tolist() for row in rows] == [[0], tokenizer(SHORT)["input_ids"], [0]]
    assert context.notes == ["2 of 3 rows are empty and are read as the token <s> alone"]
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(Unsupported, match="a sentence is empty, and the tokenizer has no token"):
        tokenized_sentences([["", SHORT]], context_of(tokenizer))


@pytest.mark.parametrize("named", [-1, 7, None])
def test_a_decoders_head_reads_the_last_token_whatever_the_checkpoint_says_pads(named: int | None, decoder_tokenizer: Any, context_of: Any) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(decoder_config(num_labels=2)).eval()
    model.config.pad_token_id = named
    found = []
    for size in (1, 2):
        context = context_of(decoder_tokenizer(), batch=size)
        rows = tokenized_sentences([["the answer", LONG]], context)
        with torch.inference_mode():
            found.append(head_outputs(model, rows, padding_collator(context), context))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_row_of_just_that_length_is_no_cut_one(decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    length = len(tokenizer(LONG)["input_ids"])
    assert notes([[LONG]], context_of(tokenizer, max_length=length)) == []
    assert notes([[LONG]], context_of(tokenizer, max_length=length - 1)) != []


def test_a_tokenizer_that_keeps_no_books_is_asked_again(minilm: Any, context_of: Any) -> None:
    """A slow tokenizer's encoding has no record of what it cut off."""
    from transformers import AutoTokenizer

    class Slow:
        def __init__(self, fast: Any) -> None:
            self.fast = fast

        def __call__(self, *columns: Any, **options: Any) -> Any:
            encoded = self.fast(*columns, **options)
            encoded._encodings = None
            return encoded

    tokenizer = Slow(AutoTokenizer.from_pretrained(minilm))
    found = notes([[SHORT, LONG, LONG], [LONG, SHORT, SHORT]], context_of(tokenizer, "encoder"))
    assert found == ["3 of 3 rows were longer than max_length (64 tokens) and lost tokens from the end of the longer sentence"]
    assert notes([[SHORT]], context_of(tokenizer, "encoder")) == []


def test_the_end_of_text_that_a_row_must_have_may_cost_it_a_token(encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = encoder_decoder_tokenizer()
    before = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    length = len(tokenizer(LONG)["input_ids"])
    found = [notes([[LONG]], context_of(tokenizer, "encoder-decoder", max_length=room)) for room in (length, length + 1)]
    tokenizer.backend_tokenizer.post_processor = before
    assert [len(each) for each in found] == [1, 0]
