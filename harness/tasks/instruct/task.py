"""What all sets of instructions share: they are trained on, and other tasks say what that was good for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import DataError
from harness.fields import identity
from harness.needs import ModelFacts
from harness.tasks.base import Head, TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.benchmark import BenchmarkTask
from harness.tasks.instruct.dialogues import answered
from harness.tasks.instruct.rows import DialogueTokenizer
from harness.tasks.instruct.shapes import DialogueSource, Shape, column_names
from harness.tasks.instruct.templates import TemplateName, pieces
from harness.tasks.responses import Lengths
from harness.tasks.rows.source import Rows


class InstructionTask(BenchmarkTask):
    """Dialogues to train on. A subclass says where they are and which shape their files have."""

    evaluates: ClassVar[bool] = False

    template: TemplateName | None = identity(None, description="how a dialogue becomes a text; chat: the tokenizer's own way; null: the shape's usual one")
    train_on_prompt: bool = identity(False, description="whether the loss is on prompts as well")
    last_reply_only: bool = identity(False, description="whether the loss is on a dialogue's last reply only, and not on every one")
    max_prompt_length: int | None = identity(None, ge=1, description="longest prompt in tokens, cut at its end; null: what train.max_length leaves")
    max_response_length: int | None = identity(None, ge=1, description="longest reply in tokens; null: what train.max_length leaves")

    def shape(self, path: Path | None) -> Shape:
        """The shape of the rows. path: the local file; None for the hub. Raises DataError."""
        raise NotImplementedError

    def source(self) -> DialogueSource:
        """Where the dialogues come from. Raises DataError where a local file is missing, or has not the shape's columns."""
        split = self.training_split()
        place = DialogueSource(self.dataset(), self.data, self.data_revision, split=split)
        path = next(iter(place.files(split)), None)
        shape = self.shape(path)
        columns = (*shape.columns, *shape.optional) if path is None else shape.present(column_names(path))
        return replace(place, dataset=replace(place.dataset, columns=columns), shape=shape)

    def evaluation_splits(self) -> tuple[str, ...]:
        return ()

    def check_data(self) -> None:
        """See Task; without a training split there is nothing to do."""
        self.source().check(self.training_split())

    def loaded(self, split: str, context: TaskContext) -> Rows:
        """The dialogues in one column, `dialogue`: those with a prompt and a reply, up to where one of them is empty."""
        source = self.source()
        rows = source.load(split)
        found = source.shape.dialogues(rows)
        usable = [exchanges for dialogue in found if (exchanges := answered(dialogue))]
        if not usable:
            raise DataError(f"{rows.place}: none of its {len(found)} dialogues has both a prompt and a reply")
        if len(usable) < len(found):
            context.note(f"{self.task}: {len(found) - len(usable)} of {len(found)} dialogues have no prompt or no reply and were left out")
        return Rows({"dialogue": usable}, rows.place, rows.revision)

    def input_text(self, row: dict[str, Any]) -> str:
        """Everything that is asked in a dialogue."""
        return "\n".join("\n".join(text for text in (turn.prompt, turn.given) if text) for turn in row["dialogue"])

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "replies are written one token after the other, which an encoder cannot do"
        if model is not None and model.kind == "encoder-decoder" and self.train_on_prompt:
            return "train_on_prompt: an encoder-decoder reads prompts in its encoder, which predicts nothing"
        return super().unsupported(model, trains)

    def training_set(self, context: TaskContext) -> TrainingSet:
        """One row per dialogue; see docs/tasks/instructions.md."""
        dialogues = self.training_rows(context)["dialogue"]
        template = self.template or self.source().shape.template
        tokenizer = DialogueTokenizer(context, Lengths(self.max_prompt_length, self.max_response_length, keep="beginning"))
        tokenized = tokenizer.dialogues([pieces(dialogue, template, context.tokenizer) for dialogue in dialogues], self.last_reply_only)
        tokenizer.say(self.task)
        if self.train_on_prompt:
            tokenized = [{**row, "labels": row["input_ids"]} for row in tokenized]
        return TrainingSet(tokenized, padding_collator(context))
