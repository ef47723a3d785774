"""AdvertiseGen: features of a piece of clothing in, an advertisement in Chinese out, the task of ChatGLM's tuning recipes.

Source: Shao et al. 2019, and THUDM/ChatGLM3, finetune_demo, THUDM/ChatGLM-6B, ptuning. Both cut texts into words with jieba;
here tokens are characters, hence the protocol's name. Protocol `adgen/characters/...`: docs/protocols/data_to_text.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from harness.needs import Needs
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.generation.scores import Score, bleu, rouge, sentence_bleu
from harness.tasks.generation.task import GenerationTask, new_tokens, source_length, target_length
from harness.tasks.rows.columns import Text
from harness.tasks.rows.source import DataSet

SCORER = "characters"


@TASKS.register("adgen")
class AdvertiseGen(GenerationTask):
    """Clothes' features into an advertisement, in Chinese.

    Decoders: the features, a line break, the advertisement; encoder-decoders read the features alone. Trained on `train`,
    evaluated on `validation` (the data set's `dev`). Lengths are those of the QLoRA recipe for ChatGLM3-6B on a T4.
    """

    needs: ClassVar[Needs] = Needs(packages=("sacrebleu", "nltk", "rouge_score"))
    gap: ClassVar[str] = ""

    max_source_length: int | None = source_length(512)
    max_target_length: int | None = target_length(1536)
    max_new_tokens: int = new_tokens(512)

    def dataset(self) -> DataSet:
        columns = (Text("content"), Text("summary"))
        return DataSet(name="adgen", hub="shibing624/AdvertiseGen", config="default", columns=columns, folders=(("AdvertiseGen", "adgen"),))

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("validation",)

    def source_text(self, row: dict[str, Any]) -> str:
        return str(row["content"])

    def target(self, row: dict[str, Any]) -> str:
        return str(row["summary"])

    def usual_prompt(self, context: TaskContext) -> tuple[str, str]:
        return "", "" if context.model.kind == "encoder-decoder" else "\n"

    def scores(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        names = ("rouge1", "rouge2", "rougeL")
        return [
            sentence_bleu(texts, references, characters, SCORER), *rouge(texts, references, names, tokenizer=Characters(), scorer=SCORER),
            bleu(texts, references, tokenize="zh"),
        ]  # fmt: skip


def characters(text: str) -> list[str]:
    """Every character but white space."""
    return [character for character in text if not character.isspace()]


class Characters:
    """A tokenizer for rouge-score, whose own keeps Latin letters and digits alone."""

    def tokenize(self, text: str) -> list[str]:
        """See `characters`."""
        return characters(text)
