"""Tiny real models with weights wide enough that every input has its own output, and tokenizers of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_models import VOCABULARY, decoder_config

from harness.needs import ModelFacts
from harness.tasks.base import TaskContext

LETTERS_TEXT = ["Answer: A", "Answer: B", "Answer: C", "Answer: D", "The following are questions about the answer."]


@pytest.fixture(scope="session")
def decoder_tokenizer() -> Any:
    """Byte-level BPE as GPT-2's, with a beginning and an end of text, without a pad token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LETTERS_TEXT * 50, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])
    return lambda: PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="session")
def encoder_decoder_tokenizer() -> Any:
    """Unigram as T5's: word starts marked, text ended by </s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LETTERS_TEXT * 50, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return lambda: PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(params=["llama", "gpt2", "opt"])
def causal_model(request: pytest.FixtureRequest) -> Any:
    """Rotary, learned and offset-learned positions: the three ways in which padding can go wrong."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(decoder_config(request.param)).eval()


@pytest.fixture
def context_of() -> Callable[..., TaskContext]:
    """tokenizer, kind -> a cell's context; further fields by name."""

    def make(tokenizer: Any, kind: str = "decoder", *, model_context: int | None = 256, max_length: int = 64, batch: int = 4, seed: int = 0) -> TaskContext:
        return TaskContext(tokenizer, ModelFacts("test", kind, context=model_context), max_length, batch, seed)

    return make
