"""Data to text: a meaning representation or triples in, a sentence out, as LoRA's GPT-2 experiments ask for it.

Source: Hu et al. 2021 (LoRA), sec. 5.4 and table 11, and microsoft/LoRA, examples/NLG; Novikova et al. 2017 (E2E), Gardent et al.
2017 (WebNLG), Nan et al. 2021 (DART). Protocols `e2e/...`, `webnlg/...`, `dart/...`: docs/protocols/data_to_text.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from harness.needs import Needs
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.generation.coco import coco_scores
from harness.tasks.generation.columns import References, Triples
from harness.tasks.generation.scores import Score, bleu, nist, rouge
from harness.tasks.generation.task import (
    CONVERTED,
    GenerationTask,
    beams,
    converted_files,
    new_tokens,
    no_repeat,
    penalty,
)
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet

_SLOT = re.compile(r"\s*([^\[\],]+)\[([^\]]*)\]\s*(?:,|$)")
_SLOT_NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}


class DataToText(GenerationTask):
    """Decoders: `<data><|endoftext|> <text><|endoftext|>`, with the tokenizer's own such token; encoder-decoders read the data alone.
    Trained on `train`, evaluated on `test`, where all texts of one input are its references."""

    needs: ClassVar[Needs] = Needs(packages=("sacrebleu", "nltk", "rouge_score"))
    grouped: ClassVar[bool] = True
    stop: ClassVar[tuple[str, ...]] = ("\n\n",)
    hub_revision: ClassVar[str | None] = CONVERTED

    max_new_tokens: int = new_tokens(64)
    num_beams: int = beams(10)
    length_penalty: float = penalty(0.8)
    no_repeat_ngram_size: int = no_repeat(4)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def usual_prompt(self, context: TaskContext) -> tuple[str, str]:
        if context.model.kind == "encoder-decoder":
            return "", ""
        separator = context.tokenizer.bos_token or context.tokenizer.eos_token
        if separator is None:
            context.note(f"{self.task}: the tokenizer has no token that begins or ends a text, so a line break stands between data and text")
        return "", separator or "\n"

    def scores(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        return [bleu(texts, references, lowercase=True), nist(texts, references), *rouge(texts, references, ["rougeL"]), *coco_scores(texts, references)]


@TASKS.register("e2e")
class E2e(DataToText):
    """The E2E challenge: restaurants. A row has one of an input's several references."""

    length_penalty: float = penalty(0.9)

    def dataset(self) -> DataSet:
        columns = (Text("meaning_representation", ("mr",)), Text("human_reference", ("ref",)))
        return DataSet(name="e2e", hub="tuetschek/e2e_nlg", config="default", columns=columns, folders=(("e2e", "e2e_nlg"),), hub_files=converted_files("default"))

    def source_text(self, row: dict[str, Any]) -> str:
        return linearised(row["meaning_representation"])

    def target(self, row: dict[str, Any]) -> str:
        return str(row["human_reference"])


def linearised(meaning: str) -> str:
    """`name[Alimentum], priceRange[high]` -> `name : Alimentum | price : high`, as microsoft/LoRA's files have it; a text that
    is not written so is left as it is."""
    slots = _SLOT.findall(meaning) if "[" in meaning else []
    if not slots or _SLOT.sub("", meaning).strip():
        return meaning
    return " | ".join(f"{_SLOT_NAMES.get(name.strip(), name.strip())} : {value.strip()}" for name, value in slots)


class Tripled(DataToText):
    """What WebNLG and DART share: triples in, GEM's columns."""

    triples: ClassVar[str]

    def source_text(self, row: dict[str, Any]) -> str:
        return " | ".join(" : ".join(self.parts(triple)) for triple in row[self.triples])

    def parts(self, triple: list[str]) -> list[str]:
        """Subject, relation and object as the prompt has them."""
        return triple

    def target(self, row: dict[str, Any]) -> str:
        return str(row["target"])

    def references(self, row: dict[str, Any]) -> Sequence[str]:
        """Those of the row; its target where it has none."""
        return row["references"] or [row["target"]]


@TASKS.register("webnlg")
class WebNlg(Tripled):
    """WebNLG in English, GEM's form."""

    triples: ClassVar[str] = "input"

    def dataset(self) -> DataSet:
        columns = (Triples("input"), Text("target"), References("references"))
        return DataSet(name="webnlg", hub="GEM/web_nlg", config="en", columns=columns, folders=(("webnlg", "web_nlg"), ("en",)), hub_files=converted_files("en"))


@TASKS.register("dart")
class Dart(Tripled):
    """DART in GEM's form; relations in lower case, as microsoft/LoRA writes them."""

    triples: ClassVar[str] = "tripleset"

    def dataset(self) -> DataSet:
        columns = (Triples("tripleset"), Text("target"), References("references"))
        return DataSet(name="dart", hub="GEM/dart", config="default", columns=columns, folders=(("dart",),), hub_files=converted_files("default"))

    def parts(self, triple: list[str]) -> list[str]:
        subject, relation, thing = triple
        return [subject, relation.lower(), thing]
