"""Questions as prompts, and questions with their solutions as rows to train on, as PEFT's method comparison writes them.

Source: huggingface/peft, method_comparison/MetaMathQA/{data.py,run.py,default_training_params.json} at 5d602fdb.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import Unsupported
from harness.tasks.base import TaskContext, TrainingSet
from harness.tasks.batches import padding_collator
from harness.tasks.responses import Lengths, ResponseTokenizer

TRAIN_ON_PROMPT = "whether the loss is on the question as well, which is then one text with its solution, as in PEFT's comparison"
NOT_ON_PROMPT = "train_on_prompt: an encoder-decoder reads questions in its encoder, which predicts nothing; set train_on_prompt: false"


def prompt(question: str) -> str:
    """The question as the model is asked it."""
    return f"Question: {question} Think step by step.\nAnswer:"


def solved(questions: Sequence[str], solutions: Sequence[str], context: TaskContext, what: str, train_on_prompt: bool) -> TrainingSet:
    """One row per question. What was cut is noted under `what`."""
    prompts = [prompt(question) for question in questions]
    if train_on_prompt:
        rows = _whole_texts([asked + solution for asked, solution in zip(prompts, solutions, strict=True)], context, what)
    else:
        tokenizer = ResponseTokenizer(context, Lengths())
        rows = tokenizer.rows(prompts, solutions)
        tokenizer.say(what)
    return TrainingSet(rows, padding_collator(context))


def _whole_texts(texts: list[str], context: TaskContext, what: str) -> list[dict[str, Any]]:
    """Tokenized as running texts, so that a tokenizer may join the prompt's end with the solution's beginning; the loss is on
    everything, the end-of-text token included where there is room for it."""
    end, most = context.tokenizer.eos_token_id, context.max_length
    if end is None:
        raise Unsupported("the tokenizer has no end-of-text token, so nothing could teach a model where its solution ends")
    ids: list[list[int]] = context.tokenizer(texts, verbose=False)["input_ids"]
    ended = [row if row[-1:] == [end] else [*row, end] for row in ids]
    cut = sum(len(row) - 1 > most for row in ended)
    if cut:
        context.note(f"{what}: {cut} of {len(ended)} rows were too long and lost their end")
    return [{"input_ids": row[:most], "labels": row[:most]} for row in ended]
