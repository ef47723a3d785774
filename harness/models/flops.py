"""Model FLOPs of training: what the model's products take, whatever kernels compute them. A multiplication and an addition are two.

A weight matrix takes 2 x weights per token in the forward pass, as much again in the backward pass where its input needs a
gradient, and as much again where its weights train: 6 x weights in full tuning, 4 in LoRA's frozen layers, 2 below the first
thing that trains. Attention's two products take 2 x 2 x queries x keys x width per layer and row forward and twice that
backward, causal or not. Embeddings, norms and biases take none. What is computed again (activations under gradient
checkpointing, scores in fused attention) is not counted: this is MFU's numerator, not HFU's.
Source: Chowdhery et al. 2022 (PaLM), appendix B, refined by what needs a gradient.

Which inputs need one is looked up while one batch is trained on, rather than derived: methods put their modules anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.models.dissect import module_sizes
from harness.models.families import FAMILIES, is_cross_attention, kind_of, stack_of
from harness.tasks.batch_shape import BatchShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of training on a batch, forward and backward.

    source, target: per token that the first stack, the decoder of an encoder-decoder, reads. source_pairs, target_pairs,
    cross_pairs: of attention, per pair of a row's tokens. virtual_tokens: read before every source.
    """

    source: float = 0.0
    target: float = 0.0
    source_pairs: float = 0.0
    target_pairs: float = 0.0
    cross_pairs: float = 0.0
    virtual_tokens: int = 0

    def of(self, batch: BatchShape) -> float:
        """FLOPs of one batch; 0 of one without rows or tokens."""
        read = batch.source + self.virtual_tokens if batch.source else 0
        pairs = self.source_pairs * read**2 + self.target_pairs * batch.target**2 + self.cross_pairs * read * batch.target
        return batch.rows * (self.source * read + self.target * batch.target + pairs)


@dataclass
class _Seen:
    """What was seen of one module: calls and inputs (rows of `in_features`) in the forward pass, and whether an input needed a gradient."""

    calls: int = 0
    inputs: int = 0
    gradient: bool = False


@dataclass
class Observation:
    """What a model's products were given while one batch was trained on."""

    seen: dict[str, _Seen] = field(default_factory=dict)
    forward: bool = True

    def forward_is_over(self) -> None:
        """What is called from now on is computed again, for the backward pass."""
        self.forward = False

    def watch(self, name: str, in_features: int) -> Callable[..., None]:
        """A forward pre-hook for the module of that name."""
        seen = self.seen[name] = _Seen()

        def before(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = arguments[0] if arguments else next(iter(named.values()))
            seen.gradient |= given.requires_grad
            if self.forward:
                seen.calls += 1
                seen.inputs += given.numel() // in_features

        return before


@contextmanager
def observed(model: PreTrainedModel) -> Iterator[Observation]:
    """Looks on while the model, with its method attached, trains on one batch; see `training_flops`."""
    observation = Observation()
    hooks = [
        module.register_forward_pre_hook(observation.watch(name, in_features), with_kwargs=True) for name, module, in_features, _ in _products(model)
    ]
    try:
        yield observation
    finally:
        for hook in hooks:
            hook.remove()


def training_flops(model: PreTrainedModel, observation: Observation, batch: BatchShape, virtual_tokens: int = 0) -> TrainingFlops | None:
    """FLOPs of training the model, from how it was observed with a batch of that shape; None for a batch without tokens.

    A module that is not called for every token (a head that reads one position) counts as it did in that batch, per token.
    Not counted: products of what is no module with in_features (AdaLoRA's and Compacter's factors, DoRA's norms, prefixes' keys),
    and what `uncounted` says.
    """
    if not batch.tokens:
        return None
    config = model.config
    kind = kind_of(config.model_type, [], bool(config.is_encoder_decoder))
    family, per_token = FAMILIES.get(config.model_type), {"source": 0.0, "target": 0.0}
    pairs = {"source": 0.0, "target": 0.0, "cross": 0.0}
    for name, module, in_features, out_features in _products(model):
        seen = observation.seen[name]
        part = None if family is None else family.part(name.removesuffix(".base_layer"))
        side = _side(name, kind, part)
        tokens = batch.rows * (batch.target if side == "target" else batch.source + virtual_tokens)
        per_token[side] += 2 * in_features * out_features * (1 + seen.gradient + _trains(module)) * seen.inputs / tokens
        if part == "attention_out":
            attends = "cross" if is_cross_attention(name) else side
            pairs[attends] += 4 * in_features * (3 if seen.gradient else 1) * seen.calls
    return TrainingFlops(per_token["source"], per_token["target"], pairs["source"], pairs["target"], pairs["cross"], virtual_tokens)


def uncounted(model: PreTrainedModel) -> str | None:
    """What the model FLOPs of that family leave out, in words for a note; None where nothing that matters."""
    family = model.config.model_type
    if family not in FAMILIES:
        return f"attention's own products: harness does not know the family {family}"
    return "the products of its relative positions" if family.startswith("deberta") else None


def _products(model: Any) -> Iterator[tuple[str, Any, int, int]]:
    """Name, module, in_features and out_features of all that multiply; not what wraps such a module and passes its sizes on."""
    for name, module in model.named_modules():
        holds = any(True for _ in module.named_parameters(recurse=False)) or any(True for _ in module.named_buffers(recurse=False))
        sizes = module_sizes(module) if holds else None
        if sizes is not None and sizes[0] in ("linear", "conv1d"):
            yield name, module, sizes[1], sizes[2]


def _side(name: str, kind: str, part: str | None) -> str:
    """Whose tokens a module is called for: keys and values of cross-attention read the encoder's."""
    if kind != "encoder-decoder" or stack_of(name, kind) == "encoder":
        return "source"
    return "source" if is_cross_attention(name) and part in ("key", "value") else "target"


def _trains(module: Any) -> bool:
    return any(values.requires_grad for name, values in module.named_parameters(recurse=False) if name != "bias")
