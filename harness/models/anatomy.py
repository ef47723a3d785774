"""A model's anatomy: its weight matrices, norms and head with their sizes, as plain values without torch.

Counts of trainable parameters are formulas over it; budgets are solved with it before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from harness.models.families import Part

ModuleKind: TypeAlias = Literal["linear", "conv1d", "norm", "embedding"]


@dataclass(frozen=True)
class Module:
    """One module that holds weights itself.

    name: as in named_modules of the whole model. in_features, out_features: of a norm both its width, of an
    embedding rows and width. biases: number of bias parameters (0 without). part: the part it plays in a layer.
    layer: its place in its stack, counted from the input, None outside of the layers. stack: `encoder` or `decoder`.
    in_head: belongs to the new task head, which every method tunes whole.
    """

    name: str
    kind: ModuleKind
    in_features: int
    out_features: int
    biases: int = 0
    part: Part | None = None
    layer: int | None = None
    stack: str = "decoder"
    in_head: bool = False

    @property
    def is_matrix(self) -> bool:
        """Whether it is a weight matrix that multiplies activations."""
        return self.kind in ("linear", "conv1d")

    @property
    def parameters(self) -> int:
        """Its weight and its biases; a tied weight counts wherever it is used."""
        weight = self.in_features if self.kind == "norm" else self.in_features * self.out_features
        return weight + self.biases


@dataclass(frozen=True)
class Anatomy:
    """A whole model.

    model_type: config.json's. kind: decoder, encoder or encoder-decoder. hidden_size: width of the residual
    stream. total: parameters, tied ones once and packed ones as the weights they hold. head: parameters of the
    new task head; 0 where the head is the language model's own. biases: parameters in all biases outside the
    head, those of norms included. output: name of the output embeddings, None without.
    """

    model_type: str
    kind: str
    hidden_size: int
    layers: int
    total: int
    head: int
    biases: int
    output: str | None
    modules: tuple[Module, ...]

    def matrices(self, *parts: Part) -> Iterator[Module]:
        """Weight matrices that play one of these parts; all of the layers' where none is named."""
        wanted = parts or get_args(Part)
        return (module for module in self.modules if module.is_matrix and module.part in wanted)

    def norms(self) -> Iterator[Module]:
        """All norms outside of the head."""
        return (module for module in self.modules if module.kind == "norm" and not module.in_head)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Anatomy:
        """What `to_json` made."""
        return cls(**(values | {"modules": tuple(Module(**module) for module in values["modules"])}))
