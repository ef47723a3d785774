"""GSM8K: grade-school word problems, solved step by step in words and scored by the final number.

Source: Cobbe et al. 2021; prompt, generation and scoring as PEFT's method comparison does it. Protocol `gsm8k/peft-metamath`:
docs/protocols/gsm8k.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.fields import identity
from harness.needs import ModelFacts
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, TaskContext, TrainingSet
from harness.tasks.benchmark import BenchmarkTask, metric
from harness.tasks.generation.generate import Decoding, generated
from harness.tasks.responses import Lengths, ResponseTokenizer
from harness.tasks.rows.columns import Text, WrongValue
from harness.tasks.rows.source import DataSet
from harness.tasks.statistics import proportion_stderr
from harness.tasks.word_problems.answers import final_answer, same_answer
from harness.tasks.word_problems.solutions import NOT_ON_PROMPT, TRAIN_ON_PROMPT, prompt, solved

MOST_PROMPT_TOKENS, MOST_NEW_TOKENS = 768, 300
MARK = "#### "


@dataclass(frozen=True)
class Solution(Text):
    """A solution in words that ends in `#### <number>`."""

    @property
    def expected(self) -> str:
        return f"a solution that ends in {MARK!r} and the answer"

    def parse(self, value: Any) -> str:
        solution = super().parse(value)
        if not solution.rpartition(MARK)[1] or not final_answer(solution):
            raise WrongValue(f"expected {self.expected}")
        return solution


@TASKS.register("gsm8k")
class Gsm8k(BenchmarkTask):
    """Evaluated on `test`, trained on `train`; PEFT's comparison trains on `metamathqa`."""

    train_on_prompt: bool = identity(True, description=TRAIN_ON_PROMPT)

    def dataset(self) -> DataSet:
        columns = (Text("question"), Solution("answer"))
        return DataSet(name="gsm8k", hub="openai/gsm8k", config="main", columns=columns, folders=(("gsm8k",), ("main",)), micro="gsm8k")

    def evaluation_splits(self) -> tuple[str, ...]:
        return ("test",)

    def dev_metrics(self) -> tuple[str, ...]:
        return ("accuracy",)

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def unsupported(self, model: ModelFacts | None, trains: bool) -> str | None:
        if model is not None and model.kind == "encoder":
            return "solutions are written one token after the other, which an encoder cannot do"
        if model is not None and model.kind == "encoder-decoder" and trains and self.train_on_prompt:
            return NOT_ON_PROMPT
        return super().unsupported(model, trains)

    def input_text(self, row: dict[str, Any]) -> str:
        return str(row["question"])

    def training_set(self, context: TaskContext) -> TrainingSet:
        rows = self.training_rows(context)
        return solved(rows["question"], rows["answer"], context, self.task, self.train_on_prompt)

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        (split,) = self.splits_evaluated(context)
        rows = self.evaluation_rows(split, context)
        tokenizer = ResponseTokenizer(context, Lengths(prompt=MOST_PROMPT_TOKENS, keep="beginning"))
        prompts = [prompt(question) for question in rows["question"]]
        texts = generated(model, tokenizer.prompts(prompts, MOST_NEW_TOKENS), context, Decoding(max_new_tokens=MOST_NEW_TOKENS))
        tokenizer.say(self.task)
        found = [final_answer(asked + text) for asked, text in zip(prompts, texts, strict=True)]
        right = [float(same_answer(answer, final_answer(solution) or "")) for answer, solution in zip(found, rows["answer"], strict=True)]
        if None in found:
            context.note(f"{self.task}: {found.count(None)} of {len(found)} solutions name no final answer")
        share = sum(right) / len(right)
        protocol = self.protocol("gsm8k/peft-metamath") + ("+shortened" if tokenizer.shortened else "")
        return [metric("accuracy", share, stderr=proportion_stderr(share, len(right)), n=len(right), split=split, protocol=protocol, items=right)]
