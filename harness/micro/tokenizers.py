"""Byte-level BPE tokenizers trained on the corpus: any text can be tokenized, the corpus in few tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.micro.corpus import documents, passages
from harness.micro.world import World

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.processors import PostProcessor
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
SENTINELS = tuple(f"<extra_id_{i}>" for i in range(32))


@dataclass(frozen=True)
class Design:
    """What tells one model's tokenizer from another's. special: in the order of their ids.

    template, pair: what the post-processor puts around one text and around two.
    """

    special: dict[str, str]
    template: str
    pair: str
    max_length: int
    lowercase: bool = False
    prefix_space: bool = True
    extra: tuple[str, ...] = ()
    inputs: list[str] = field(default_factory=lambda: ["input_ids", "attention_mask"])


DESIGNS = {
    # As Llama's: a text starts with <s>. No space is put before a text, so that decoding gives it back exactly.
    "decoder": Design(
        {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
        "<s> $A", "<s> $A $B:1", max_length=512, prefix_space=False,
    ),
    # As BERT uncased: segments 0 and 1.
    "encoder": Design(
        {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"},
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", max_length=256, lowercase=True,
        inputs=["input_ids", "token_type_ids", "attention_mask"],
    ),
    # As T5: pad is id 0 and starts the decoder; sentinels mark the spans.
    "seq2seq": Design(
        {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        "$A </s>", "$A </s> $B </s>", max_length=512, extra=SENTINELS,
    ),
}


def train_tokenizer(name: str, world: World) -> PreTrainedTokenizerFast:
    """A fast tokenizer of VOCABULARY entries for one of the MODELS, trained on a fixed stretch of the corpus."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    design = DESIGNS[name]
    tokenizer = Tokenizer(models.BPE())
    if design.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=design.prefix_space)
    strip = [decoders.Strip(" ", 1, 0)] if design.prefix_space else []  # the space that was put there
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), *strip])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[*design.special.values(), *design.extra], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_texts(name, world), trainer)
    tokenizer.post_processor = _post_processor(tokenizer, design)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=design.max_length, model_input_names=design.inputs,
        padding_side="right", clean_up_tokenization_spaces=False, additional_special_tokens=list(design.extra) or None,
        **design.special,
    )


def _texts(name: str, world: World) -> Iterator[str]:
    if name == "decoder":
        yield from itertools.islice(documents(world), 3000)
    else:
        for passage in itertools.islice(passages(world), 20000):
            yield f"{passage.text} {passage.second or ''}"


def _post_processor(tokenizer: Tokenizer, design: Design) -> PostProcessor:
    from tokenizers import processors

    special = [(token, tokenizer.token_to_id(token)) for token in design.special.values()]
    return processors.TemplateProcessing(single=design.template, pair=design.pair, special_tokens=special)
