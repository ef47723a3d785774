"""Instruction tuning: prompts character by character, the loss where it was asked for, and nothing cut in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, Unsupported
from harness.needs import ModelFacts
from harness.suite.evaluations import Evaluations
from harness.tasks.base import TASKS
from harness.tasks.instruct.dialogues import Exchange
from harness.tasks.instruct.task import InstructionTask
from harness.tasks.instruct.templates import pieces, up_to_last

ONE = [Exchange("Add.", "3", "1 and 2")]
TWO = [Exchange("Hello?", "Hi!"), Exchange("Bye.", "See you.")]
CHATML = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"


def instructions(data: Path | str, name: str = "instructions", **fields: Any) -> InstructionTask:
    task = TASKS.get(name)(task=name, data=str(data), **fields)
    assert isinstance(task, InstructionTask)
    return task


def written(folder: Path, rows: list[dict[str, Any]], name: str = "train.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def learned(row: dict[str, Any], tokenizer: Any) -> str:
    return tokenizer.decode([token for token in row["labels"] if token != -100])


def test_alpacas_two_prompts_are_stanfords(decoder_tokenizer: Any) -> None:
    with_input, without = (pieces(dialogue, "alpaca", decoder_tokenizer())[0] for dialogue in (ONE, TWO[:1]))
    assert with_input.prompt == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:"
    )
    assert without.prompt == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nHello?\n\n### Response:"
    )
    assert (with_input.response, without.response) == ("3", "Hi!")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "Hello?Hi!\nBye.See you."),
        ("guanaco", "### Human: Hello?### Assistant: Hi!### Human: Bye.### Assistant: See you."),
        ("chat", "<|user|>Hello?</s>\n<|assistant|>Hi!</s>\n<|user|>Bye.</s>\n<|assistant|>See you."),
    ],
)
def test_a_dialogue_of_two_exchanges_is_one_text(template: Any, text: str, decoder_tokenizer: Any) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.chat_template = CHATML
    prompt, response, _ = up_to_last(pieces(TWO, template, tokenizer))
    assert prompt + response == text
    assert response.strip() == "See you."


def test_the_chat_template_is_the_tokenizers_with_one_beginning_and_one_end(decoder_tokenizer: Any, context_of: Any, tmp_path: Path) -> None:
    tokenizer = decoder_tokenizer()
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    path = written(tmp_path, [{"inputs": "Hello?", "targets": "Hi!"}])
    (row,) = instructions(path, template="chat").training_set(context_of(tokenizer)).rows
    assert tokenizer.decode(row["input_ids"]) == "<s><|user|>Hello?</s>\n<|assistant|>Hi!</s>"
    assert learned(row, tokenizer) == "Hi!</s>"
    with pytest.raises(Unsupported, match="has no chat template; choose alpaca, guanaco or plain"):
        instructions(path, template="chat").training_set(context_of(decoder_tokenizer()))


@pytest.mark.parametrize(
    ("fields", "loss_on"),
    [
        ({}, " Hi!</s> See you.</s>"),
        ({"last_reply_only": True}, " See you.</s>"),
        ({"train_on_prompt": True}, "<s>### Human: Hello?### Assistant: Hi!</s>### Human: Bye.### Assistant: See you.</s>"),
    ],
)
def test_the_loss_is_on_replies_on_the_last_or_on_everything(fields: dict[str, bool], loss_on: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    path = written(tmp_path, [{"text": "### Human: Hello?### Assistant: Hi!### Human: Bye.### Assistant: See you.### Human: Wait"}])
    (row,) = instructions(path, **fields).training_set(context_of(tokenizer, max_length=256)).rows
    assert learned(row, tokenizer) == loss_on
    assert len(row["labels"]) == len(row["input_ids"])


def test_exchanges_that_do_not_fit_whole_are_left_out_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    path = written(tmp_path, [{"text": "### Human: a### Assistant: b### Human: c### Assistant: d" + "### Human: e### Assistant: f" * 2}])
    one_exchange = len(tokenizer("### Human: a### Assistant: b")["input_ids"]) + 1
    context = context_of(tokenizer, max_length=2 * one_exchange)
    (row,) = instructions(path).training_set(context).rows
    assert learned(row, tokenizer) == " b</s> d</s>"
    assert "instructions: 2 further exchanges of dialogues did not fit into train.max_length and were left out" in context.notes


def test_lengths_cut_prompts_and_replies_at_their_end_as_qlora_does(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = decoder_tokenizer()
    path = written(tmp_path, [{"inputs": "abcdefgh", "targets": "ijklmnop"}, {"inputs": "x", "targets": "y"}])
    context = context_of(tokenizer)
    row, short = instructions(path, max_prompt_length=5, max_response_length=3).training_set(context).rows
    assert (tokenizer.decode(row["input_ids"]), learned(row, tokenizer)) == ("<s>abcdijk", "ijk")
    assert tokenizer.decode(short["input_ids"]) == "<s>xy</s>"
    assert "instructions: 1 of 2 prompts were too long and lost their end" in context.notes
    assert "instructions: 1 of 2 responses were too long and lost their end" in context.notes


def test_a_line_of_a_megabyte_is_cut_to_what_fits(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"instruction": "Sum up.", "input": "a " * 500_000, "output": "as"}) + "\n")
    (row,) = instructions(tmp_path).training_set(context_of(decoder_tokenizer(), max_length=64)).rows
    assert len(row["input_ids"]) == 64
    assert learned(row, decoder_tokenizer()) == "as</s>"


def test_an_encoder_decoder_reads_everything_before_the_last_reply(tmp_path: Path, encoder_decoder_tokenizer: Any, context_of: Any) -> None:
    tokenizer = encoder_decoder_tokenizer()
    path = written(tmp_path, [{"text": "### Human: a### Assistant: b### Human: c### Assistant: d"}])
    (row,) = instructions(path).training_set(context_of(tokenizer, "encoder-decoder")).rows
    assert tokenizer.decode(row["input_ids"]) == "### Human: a### Assistant: b### Human: c### Assistant:</s>"
    assert tokenizer.decode(row["labels"]).strip() == "d</s>"
    facts = ModelFacts("t5", "encoder-decoder")
    assert instructions(path).head(facts).kind == "seq2seq-lm"
    assert "predicts nothing" in (instructions(path, train_on_prompt=True).unsupported(facts, trains=True) or "")
    assert "encoder cannot" in (instructions(path).unsupported(ModelFacts("bert", "encoder"), trains=True) or "")


@pytest.mark.parametrize(
    ("row", "asked", "reply"),
    [
        ({"instruction": "Add.", "input": "1 and 2", "output": "3", "text": "all of it"}, "Add.\n1 and 2", "3"),
        ({"instruction": "Add.", "output": "3"}, "Add.", "3"),
        ({"instruction": "Add.", "input": None, "output": "3"}, "Add.", "3"),
        ({"inputs": "Add.", "targets": "3", "task": "sums"}, "Add.", "3"),
        ({"prompt": "Add.", "completion": "3"}, "Add.", "3"),
        ({"text": "### Human: Add.### Assistant: 3"}, "Add.", " 3"),
        ({"message_id": "m", "parent_id": None, "text": "Add.", "role": "prompter"}, "Add.", " 3"),
    ],
)
def test_the_columns_say_which_shape_a_file_has(row: dict[str, Any], asked: str, reply: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    answer = [{**row, "message_id": "n", "parent_id": "m", "text": "3", "role": "assistant"}] if "role" in row else []
    task, tokenizer = instructions(written(tmp_path, [row, *answer])), decoder_tokenizer()
    task.check_data()
    assert task.local_files() == [tmp_path / "train.json"]
    context = context_of(tokenizer, max_length=256)
    assert [task.input_text(found) for found in task.training_rows(context)] == [asked]
    (trained,) = task.training_set(context).rows
    assert learned(trained, tokenizer) == reply + "</s>"


def a_column_misspelt(folder: Path) -> Path:
    return written(folder, [{"instruktion": "a", "output": "b"}])


def a_key_missing(folder: Path) -> Path:
    return written(folder, [{"instruction": "a", "output": "b"}, {"instruction": "c"}])


def a_turn_that_is_no_text(folder: Path) -> Path:
    return written(folder, [{"instruction": "a", "output": ["b"]}])


def a_dialogue_without_speakers(folder: Path) -> Path:
    return written(folder, [{"text": "Hello?"}])


def latin_1(folder: Path) -> Path:
    path = folder / "train.json"
    path.write_bytes('[{"instruction": "Ä", "output": "b"}]'.encode("latin-1"))
    return path


def all_replies_empty(folder: Path) -> Path:
    return written(folder, [{"instruction": "a", "output": " "}, {"instruction": " ", "output": "b"}])


def another_kind_of_file(folder: Path) -> Path:
    return written(folder, [], "train.xml")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (a_column_misspelt, "no known shape of instructions; it has the columns instruktion, output (did you mean instruction for instruktion?); expected those of one of"),
        (a_key_missing, "row 2: column 'output' is missing, which row 1 has"),
        (a_turn_that_is_no_text, "row 1, column output: expected a text; got ['b']"),
        (a_dialogue_without_speakers, "row 1, column text: expected a text that begins with '### Human:' and answers with '### Assistant:'; got 'Hello?'"),
        (latin_1, "is not UTF-8"),
        (all_replies_empty, "none of its 2 dialogues has both a prompt and a reply"),
        (another_kind_of_file, "files of this kind are not read; expected one of .parquet, .jsonl"),
    ],
)
def test_bad_files_are_refused_with_file_row_and_column(spoil: Callable[[Path], Path], says: str, tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    path = spoil(tmp_path)
    with pytest.raises(DataError) as caught:
        instructions(path).training_set(context_of(decoder_tokenizer()))
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_empty_replies_are_left_out_and_counted(tmp_path: Path, decoder_tokenizer: Any, context_of: Any) -> None:
    path = written(tmp_path, [{"instruction": "a", "input": "", "output": ""}, {"instruction": "a", "input": "", "output": "b"}])
    context = context_of(decoder_tokenizer(), max_length=256)
    assert len(instructions(path).training_set(context).rows) == 1
    assert "instructions: 1 of 2 dialogues have no prompt or no reply and were left out" in context.notes


def test_a_place_without_files_is_said_by_the_plan(tmp_path: Path) -> None:
    for data, says in ((str(tmp_path), "no file for the split train"), ("hub", "expected a file, or a folder with a file train.json")):
        with pytest.raises(DataError, match=says):
            instructions(data).check_data()


def test_instructions_are_trained_on_and_never_evaluated(decoder_tokenizer: Any, context_of: Any) -> None:
    task = instructions("micro", "alpaca", max_train_samples=20)
    task.check_data()
    assert not type(task).evaluates
    assert not task.evaluation_splits()
    context = context_of(decoder_tokenizer(), max_length=256)
    assert len(task.training_set(context).rows) == 20
    assert [(use.role, use.rows) for use in context.used.uses()] == [("training", 20)]
    assert Evaluations(own=False).unsupported(task, None) is None
