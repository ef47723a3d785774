"""What the inputs of a model's layers look like: gathered with hooks while calibration texts run through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass
class Inputs:
    """The inputs of one layer. rows: some of them, spread evenly over the samples; each of shape (tokens, in_features), on the CPU."""

    total: Any = 0.0
    tokens: int = 0
    rows: list[torch.Tensor] = field(default_factory=list)

    @property
    def magnitude(self) -> torch.Tensor:
        """Mean |x| of every input channel over all tokens: float64, shape (in_features,), on the CPU."""
        mean: torch.Tensor = self.total / self.tokens
        return mean

    def add(self, inputs: torch.Tensor, keep: int) -> None:
        """Takes in one sample's inputs, of shape (..., in_features), and keeps at most `keep` rows of them."""
        import torch

        flat = inputs.detach().flatten(0, -2)
        self.total = self.total + flat.float().abs().sum(dim=0).double().cpu()
        self.tokens += len(flat)
        if keep:
            self.rows.append(flat[torch.linspace(0, len(flat) - 1, min(keep, len(flat))).long()].cpu())


def observe(
    model: PreTrainedModel, layers: Mapping[str, torch.nn.Module], samples: Sequence[torch.Tensor], rows: int
) -> dict[str, Inputs]:
    """The inputs of every layer that the samples reach, by the layer's name.

    samples: token ids of shape (tokens,), at least one. rows: how many inputs are kept of each layer, at least one of each sample. An
    encoder-decoder reads each sample with its encoder and predicts the same text with its decoder.
    """
    import torch

    found: dict[str, Inputs] = {}
    keep = -(-rows // len(samples))
    with torch.no_grad(), _watching(layers, found, keep):
        for sample in samples:
            ids = sample.to(model.device)[None]
            arguments = {"input_ids": ids}
            if model.config.is_encoder_decoder:
                arguments["decoder_input_ids"] = _shifted(ids, model)
            model.base_model(**arguments)
    return found


@contextmanager
def _watching(layers: Mapping[str, torch.nn.Module], found: dict[str, Inputs], keep: int) -> Iterator[None]:
    def watch(name: str) -> Any:
        return lambda module, inputs: found.setdefault(name, Inputs()).add(inputs[0], keep)

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shifted(ids: torch.Tensor, model: PreTrainedModel) -> torch.Tensor:
    """What a decoder has read when it is to predict `ids`."""
    import torch

    start = model.config.decoder_start_token_id
    first = ids.new_full((len(ids), 1), model.config.pad_token_id if start is None else start)
    return torch.cat([first, ids[:, :-1]], dim=1)
