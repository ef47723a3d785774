"""Tiny random models of every family, and a method tried on one of them: shared by the tests of the methods."""

from __future__ import annotations

import copy
import logging
from functools import cache
from pathlib import Path

import torch
import transformers

from harness.methods.base import METHODS, Attachment, Method
from harness.methods.trial import Check, Trial
from harness.models.base import ModelConfig
from harness.models.dissect import anatomy_of
from harness.models.facts import read_facts
from harness.models.load import head_modules, load_model
from harness.quantization.base import SCHEMES
from harness.runs.phases.probe import two_steps
from harness.tasks.base import Head

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

CLASSIFY = Head("sequence-classification", 2, "single_label_classification")
LANGUAGE = {"decoder": Head("causal-lm"), "encoder-decoder": Head("seq2seq-lm"), "encoder": CLASSIFY}
ENCODERS = ("bert", "roberta", "deberta-v2")
DECODERS = ("gpt2", "opt", "bloom", "llama", "glm")
ENCODER_DECODERS = ("t5", "bart")
BY_THE_TRAINER = ("bert", "llama", "t5")  # one of each kind: the Trainer takes half a second; `harness probe` has it train all
FAMILIES = (*ENCODERS, *DECODERS, *ENCODER_DECODERS)


def method(name: str, **fields: object) -> Method:
    return METHODS.get(name).model_validate({"method": name, **fields})


@cache
def model_folder(family: str) -> Path:
    """The tiny checkpoint, made once in the test session's cache (tests/conftest.py sets HARNESS_CACHE)."""
    from harness.models.random_weights import materialise
    from harness.models.source import cache_folder

    return materialise(f"tiny-{family}", ModelConfig(source=f"random:tiny-{family}", dtype="float32"), cache_folder())


@cache
def _loaded(family: str, head: Head, scheme: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = ModelConfig(source=f"path:{model_folder(family)}", dtype="float32")
    return load_model(config, head, SCHEMES.get(scheme)(scheme=scheme), "cpu", Path())


def trial(of: Method, family: str, folder: Path, head: Head | None = None, scheme: str = "none", steps: int = 12) -> Trial:
    """The method on the family's tiny model; budgets are solved as a cell solves them."""
    config = ModelConfig(source=f"random:tiny-{family}", dtype="float32")
    facts = read_facts(config)
    assert facts is not None
    head = head or LANGUAGE[facts.kind]
    base = _loaded(family, head, scheme)
    anatomy = anatomy_of(base, head_modules(base) if head.new else [])
    of, _ = of.solved(anatomy)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder(family))
    words = ("terrible", "great") if head.kind == "sequence-classification" else None
    attachment = Attachment(facts, anatomy, SCHEMES.get(scheme)(scheme=scheme), head.kind, steps, False, 0, [], tokenizer, words)
    torch.manual_seed(0)
    # a deep copy is a fresh load at a hundredth of its price; bitsandbytes' weights copy too
    plain = None if scheme == "none" else _loaded(family, head, "none")
    reference = None if plain is None else lambda: copy.deepcopy(plain)
    rows = batch(head)
    trainer = two_steps(of, rows, attachment, folder, "cpu") if family in BY_THE_TRAINER else None
    return Trial(of, lambda: copy.deepcopy(base), attachment, rows, folder, reference, trainer)


def batch(head: Head) -> dict[str, torch.Tensor]:
    """Four rows, the last two padded on the right."""
    ids = torch.randint(5, 1500, (4, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[2:, 9:], mask[2:, 9:] = 0, 0
    if head.kind == "question-answering":
        return {"input_ids": ids, "attention_mask": mask, "start_positions": torch.tensor([1, 4, 0, 3]), "end_positions": torch.tensor([2, 4, 0, 7])}
    labels = torch.tensor([0, 1, 1, 0]) if head.kind == "sequence-classification" else ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def failed(checks: list[Check]) -> list[Check]:
    """Checks that did not pass; what does not apply is none of them."""
    return [check for check in checks if check.passed is False]
