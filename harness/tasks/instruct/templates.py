"""Templates: a dialogue as texts, for each reply what stands before it and the reply itself.

Sources: `alpaca`: Taori et al. 2023, Stanford Alpaca, train.py (two prompts, with and without input). `guanaco`:
timdettmers/openassistant-guanaco, on which QLoRA's Guanaco was trained. `plain`: QLoRA's qlora.py lays input and output end to end.
`chat`: the tokenizer's own template, by transformers' apply_chat_template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from harness.errors import Unsupported
from harness.tasks.instruct.columns import ASSISTANT, HUMAN
from harness.tasks.instruct.dialogues import Dialogue, Exchange

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TemplateName: TypeAlias = Literal["alpaca", "plain", "guanaco", "chat"]

_ALPACA_OPENING = "Below is an instruction that describes a task{paired}. Write a response that appropriately completes the request.\n\n"
_ALPACA_PAIRED = ", paired with an input that provides further context"


class Piece(NamedTuple):
    """A reply as text, and all the text between the reply before and this one (or the beginning). end: how the template writes that
    the reply has ended, where that is the end-of-text token, which a response gets anyway."""

    prompt: str
    response: str
    end: str = ""


def pieces(dialogue: Dialogue, template: TemplateName, tokenizer: PreTrainedTokenizerBase) -> list[Piece]:
    """The dialogue in that template, one piece per exchange; raises Unsupported where the tokenizer has no template of its own."""
    if template == "chat":
        return _chat(dialogue, tokenizer)
    return _TEMPLATES[template](dialogue)


def up_to_last(parts: Sequence[Piece]) -> Piece:
    """The last reply, and as its prompt everything before it."""
    return Piece("".join(text for piece in parts[:-1] for text in piece) + parts[-1].prompt, parts[-1].response)


def _alpaca(dialogue: Dialogue) -> list[Piece]:
    """Stanford's has one exchange; further ones repeat its headings."""
    opening = _ALPACA_OPENING.format(paired=_ALPACA_PAIRED if dialogue[0].given else "")
    before = [opening, *(["\n\n"] * (len(dialogue) - 1))]
    return [Piece(text + _under_headings(turn), turn.reply) for text, turn in zip(before, dialogue, strict=True)]


def _under_headings(turn: Exchange) -> str:
    given = f"### Input:\n{turn.given}\n\n" if turn.given else ""
    return f"### Instruction:\n{turn.prompt}\n\n{given}### Response:"


def _plain(dialogue: Dialogue) -> list[Piece]:
    before = ["", *(["\n"] * (len(dialogue) - 1))]
    return [Piece(text + _whole_prompt(turn), turn.reply) for text, turn in zip(before, dialogue, strict=True)]


def _guanaco(dialogue: Dialogue) -> list[Piece]:
    return [Piece(f"{HUMAN} {_whole_prompt(turn)}{ASSISTANT}", f" {turn.reply}") for turn in dialogue]


def _whole_prompt(turn: Exchange) -> str:
    return f"{turn.prompt}\n\n{turn.given}" if turn.given else turn.prompt


def _chat(dialogue: Dialogue, tokenizer: PreTrainedTokenizerBase) -> list[Piece]:
    """The template's text, cut where a reply begins and where it ends: at the end-of-text token, or with all that the template writes of it."""
    if tokenizer.chat_template is None:
        raise Unsupported("template: chat: the tokenizer has no chat template; choose alpaca, guanaco or plain")
    end, messages, found, at = tokenizer.eos_token, list[dict[str, str]](), list[Piece](), 0
    for turn in dialogue:
        messages.append({"role": "user", "content": _whole_prompt(turn)})
        asked = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        messages.append({"role": "assistant", "content": turn.reply})
        whole = str(tokenizer.apply_chat_template(messages, tokenize=False))
        if not whole.startswith(asked):
            raise Unsupported("template: chat: the tokenizer's chat template writes a dialogue otherwise once it is answered; choose alpaca, guanaco or plain")
        reply, ended, _ = whole[len(asked) :].partition(end) if end else (whole[len(asked) :], "", "")
        found.append(Piece(asked[at:] if found else _without_beginning(asked, tokenizer), reply, ended))
        at = len(asked) + len(reply) + len(ended)
    return found


def _without_beginning(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Without the beginning-of-text token that templates write and tokenizers add once more."""
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return text.removeprefix(str(tokenizer.bos_token)) if begins else text


_TEMPLATES: Mapping[str, Callable[[Dialogue], list[Piece]]] = {"alpaca": _alpaca, "plain": _plain, "guanaco": _guanaco}
