"""Deep prefixes: keys and values of their own before every layer's attention, through our tuner (harness.methods.tuners).

PEFT's prefix tuning goes through the cache, which encoders lack, gradient checkpointing drops and positions count; ours
goes to the attention itself. It takes no position of the context, and generation with a cache never sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment, SizedMethod
from harness.methods.peft_model import PeftMethod
from harness.models.anatomy import Anatomy
from harness.models.families import FAMILIES, is_cross_attention
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

PREFIX_LENGTH = "positions of the prefix, the same at every attention"
PREFIX_HIDDEN = "width of the MLP that the prefix comes from while it is tuned; null: it is tuned directly"
PREFIX_DROPOUT = "dropout on the prefix's keys and values"
PREFIX_STD = "standard deviation of what is tuned first: the prefix itself, or the embeddings that the MLP gets"


@dataclass(frozen=True)
class Attention:
    """An attention module. width: of its keys. group: encoder, decoder or cross, whose attentions share an MLP."""

    name: str
    width: int
    group: str


class PrefixMethod(PeftMethod, SizedMethod):
    """What methods with nothing but a prefix share. A subclass declares prefix_length and prefix_dropout.

    prefix_width: width of the MLP, None without one.
    """

    config_class: ClassVar[str] = "PeltConfig"
    knob: ClassVar[str] = "prefix_length"

    prefix_length: int
    prefix_dropout: float
    init_std: float = identity(1.0, ge=0, description=PREFIX_STD)

    @property
    def mlp(self) -> int | None:
        """Width of the MLP that the prefix comes from, None without one."""
        return None

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """Refuses families whose attention has no place for a prefix, and prefixes longer than the context."""
        return no_prefix(model, None if self.budget is not None else self.prefix_length)

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """PeltConfig's values."""
        return prefix_values(attachment.anatomy, self.prefix_length, self.mlp, self.prefix_dropout, self.init_std)

    def count(self, anatomy: Anatomy) -> int:
        """See prefix_count."""
        return prefix_count(attentions(anatomy), anatomy.hidden_size, self.prefix_length, self.mlp)


@METHODS.register("prefix-tuning")
class PrefixTuning(PrefixMethod):
    """Keys and values before those of every attention, tuned through an MLP: P = W2 tanh(W1 E).

    Trainable parameters, l the length, d the hidden size, h the MLP's width and k the width of an attention's keys: for
    each kind of attention (encoder, decoder, cross) l d + d h + h, and for each attention (h + 1) 2 k. Without the MLP,
    for each attention l 2 k.
    Source: Li & Liang 2021 (arXiv 2101.00190), sec. 4.2 and 4.3; length 10 and MLP width 512 are table-to-text's.
    """

    prefix_length: int = identity(10, ge=1, description=PREFIX_LENGTH)
    prefix_hidden: int | None = identity(512, ge=1, description=PREFIX_HIDDEN)
    prefix_dropout: float = identity(0.0, ge=0, lt=1, description=PREFIX_DROPOUT)

    @property
    def mlp(self) -> int | None:
        """prefix_hidden."""
        return self.prefix_hidden


@METHODS.register("p-tuning-v2")
class PTuningV2(PrefixMethod):
    """Deep prompts: keys and values before those of every attention, tuned directly, and a new classification head.

    Trainable parameters, l the length and k the width of an attention's keys: for each attention l 2 k.
    Source: Liu et al. 2021 (arXiv 2110.07602), sec. 3.2 and 3.3; length 20 is usual for its classification tasks,
    dropout 0.1 and a normal of std 1 are its code's.
    """

    prefix_length: int = identity(20, ge=1, description=PREFIX_LENGTH)
    prefix_dropout: float = identity(0.1, ge=0, lt=1, description=PREFIX_DROPOUT)


def no_prefix(model: ModelFacts | None, length: int | None) -> str | None:
    """Why that model cannot be given a prefix of that length (None: a length yet to be chosen), or None."""
    if model is None:
        return None
    if model.model_type not in FAMILIES:
        return f"where a {model.model_type} model attends is not known: there is no place for a prefix"
    if not FAMILIES[model.model_type].prefixes:
        return f"attention in {model.model_type} models does not go through transformers' attention interface: there is no place for a prefix"
    if length is not None and model.context is not None and length > model.context:
        return f"a prefix of {length} is longer than the model's context of {model.context}"
    return None


def attentions(anatomy: Anatomy) -> list[Attention]:
    """All attention modules of the layers; raises Unsupported where they are not known.

    Keys are narrower than the hidden size where several query heads share them. A fused projection holds queries as wide
    as what goes into attention_out, and keys and values in equal parts.
    """
    queries = {_parent(module.name): module.in_features for module in anatomy.matrices("attention_out")}
    found = []
    for module in anatomy.matrices("key", "qkv"):
        name = _parent(module.name)
        width = module.out_features if module.part == "key" else (module.out_features - queries[name]) // 2
        found.append(Attention(name, width, "cross" if is_cross_attention(name) else module.stack))
    if not found:
        raise Unsupported(f"a prefix goes before the keys of every attention, which are not known of {anatomy.model_type} models")
    return found


def prefix_values(anatomy: Anatomy, length: int, hidden: int | None, dropout: float, std: float) -> dict[str, Any]:
    """PeltConfig's values for a prefix at every attention."""
    places = attentions(anatomy)
    return {
        "prefix_modules": [place.name for place in places],
        "prefix_widths": [place.width for place in places],
        "prefix_length": length,
        "prefix_hidden": hidden,
        "prefix_dropout": dropout,
        "prefix_std": std,
    }


def prefix_count(places: Sequence[Attention], hidden_size: int, length: int, hidden: int | None) -> int:
    """Parameters of a prefix at each of these attentions; hidden: width of the MLP, None without."""
    states = 2 * sum(place.width for place in places)
    if hidden is None:
        return length * states
    groups = len({place.group for place in places})
    return groups * (length * hidden_size + (hidden_size + 1) * hidden) + (hidden + 1) * states


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
