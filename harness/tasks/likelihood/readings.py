"""What a language model reads, and how likely it then finds the tokens at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.tasks.base import TaskContext
from harness.tasks.batches import PaddingCollator, accepted, in_batches, refuse_non_finite
from harness.tasks.likelihood.beginnings import Beginning, shared_beginnings
from harness.tasks.likelihood.kept_keys import KeptKeys, NotKept, why_not

if TYPE_CHECKING:
    import torch

    from harness.tasks.statistics import Array

_MOST_ROUNDING = 0.1  # relative; half precision through many layers stays below, a wrong position does not
_ALONE = -1  # the group of rows that share no beginning


@dataclass(frozen=True)
class Reading:
    """One row of a forward pass. tokens: what is read, of an encoder-decoder by its encoder. targets: token sequences, each
    predicted by as many positions at the end as it has tokens. decoder_tokens: what an encoder-decoder's decoder reads after
    its start token; None for a decoder.
    """

    tokens: Array
    targets: tuple[tuple[int, ...], ...]
    decoder_tokens: tuple[int, ...] | None = None

    @property
    def width(self) -> int:
        """Positions that predict a target."""
        return max(map(len, self.targets))


def log_likelihoods(model: Any, readings: Sequence[Reading], collator: PaddingCollator, context: TaskContext) -> list[Array]:
    """Of each reading the summed log-likelihood (nats, fp32) of every target; arrays of shape (targets,).

    What many readings of a decoder begin with is read once for all, where the model can go on from kept keys and values; where
    it cannot, the notes say why. Raises harness.errors.Diverged when an output is not finite.
    """
    found: dict[int, Array] = {}
    reader = _Reader(model, collator, context)
    groups = reader.grouped(readings)

    def evaluate(indices: list[int]) -> None:
        batch = [readings[index] for index in indices]
        logits = reader.logits(batch, groups[indices[0]])
        refuse_non_finite(logits)
        found.update(zip(indices, _sums(logits, batch), strict=True))

    in_batches([len(reading.tokens) for reading in readings], context, evaluate, groups)
    return [found[index] for index in range(len(readings))]


def _sums(logits: torch.Tensor, batch: Sequence[Reading]) -> list[Array]:
    """The log-likelihoods of each row's targets. logits: (rows, positions, vocabulary), of which the last len(target) predict
    a target's tokens."""
    import numpy as np
    import torch

    targets = [(row, target) for row, reading in enumerate(batch) for target in reading.targets]
    places = [(row, logits.shape[1] - len(target) + at, token) for row, target in targets for at, token in enumerate(target)]
    rows, positions, tokens = torch.tensor(places, device=logits.device).T
    likelihoods = (logits[rows, positions, tokens] - logits.logsumexp(dim=-1)[rows, positions]).cpu().numpy()
    starts = np.cumsum([0, *(len(target) for _, target in targets)])[:-1]
    ends = np.cumsum([len(reading.targets) for reading in batch])[:-1]
    sums: list[Array] = np.split(np.add.reduceat(likelihoods, starts), ends)
    return sums


class _Reader:
    """Logits of batches of readings, read whole or from the keys and values of what they all begin with."""

    def __init__(self, model: Any, collator: PaddingCollator, context: TaskContext) -> None:
        self._model, self._collator, self._context = model, collator, context
        self._beginnings: list[Beginning] = []
        self._kept: tuple[int, KeptKeys] | None = None  # of one group at a time
        self._tried = False

    def grouped(self, readings: Sequence[Reading]) -> list[int]:
        """The group of each reading: those of one share a beginning."""
        groups = [_ALONE] * len(readings)
        if any(reading.decoder_tokens is not None for reading in readings):
            return groups
        beginnings = shared_beginnings([each.tokens[: -each.width] for each in readings], [len(each.tokens) for each in readings])
        reason = why_not(self._model) if beginnings else None
        if reason is not None:
            self._give_up(reason)
            return groups
        self._beginnings = beginnings
        for number, beginning in enumerate(beginnings):
            for row in beginning.rows:
                groups[row] = number
        return groups

    def logits(self, batch: list[Reading], group: int) -> torch.Tensor:
        """fp32 logits of the last positions of every row: shape (rows, positions, vocabulary), as many positions as the
        longest target has tokens."""
        kept = None if group == _ALONE or not self._beginnings else self._keys(group, batch)
        return (self._whole(batch) if kept is None else self._continued(batch, kept)).float()

    def _keys(self, group: int, batch: list[Reading]) -> KeptKeys | None:
        """The group's keys and values; None where the model turns out to have none that can be gone on from."""
        if self._kept is not None and self._kept[0] == group:
            return self._kept[1]
        self._kept = None  # before the next ones take memory
        try:
            kept = KeptKeys(self._model, batch[0].tokens[: self._beginnings[group].length])
        except NotKept as error:
            self._give_up(str(error))
            return None
        if not self._tried and not _alike(self._continued(batch[-1:], kept), self._whole(batch[-1:])):
            self._give_up("its outputs are others than those of whole prompts")
            return None
        self._tried, self._kept = True, (group, kept)
        return kept

    def _give_up(self, reason: str) -> None:
        self._beginnings = []
        self._context.note(f"what many prompts begin with is read again for each of them: {reason}")

    def _whole(self, batch: list[Reading]) -> torch.Tensor:
        inputs = self._padded([reading.tokens for reading in batch])
        lengths = [len(reading.tokens) for reading in batch]
        if self._context.model.kind == "encoder-decoder":
            start = self._model.config.decoder_start_token_id
            sequences = [[start, *(reading.decoder_tokens or ())] for reading in batch]
            inputs["decoder_input_ids"] = self._padded(sequences)["input_ids"]
            lengths = [len(sequence) for sequence in sequences]
        return _last_positions(self._model, {**inputs, "use_cache": False}, lengths, max(reading.width for reading in batch))

    def _continued(self, batch: list[Reading], kept: KeptKeys) -> torch.Tensor:
        rest = [reading.tokens[kept.length :] for reading in batch]
        inputs = kept.continued(self._padded(rest))
        return _last_positions(self._model, inputs, [len(tokens) for tokens in rest], max(reading.width for reading in batch))

    def _padded(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        batch = self._collator([{"input_ids": row} for row in rows])
        return {name: tensor.to(self._model.device) for name, tensor in batch.items()}


def _alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether logits differ by no more than rounding."""
    spread = expected.float() - expected.float().mean(dim=-1, keepdim=True)
    return bool((found.float() - expected.float()).norm() <= _MOST_ROUNDING * spread.norm())


def _last_positions(model: Any, inputs: dict[str, Any], lengths: list[int], width: int) -> torch.Tensor:
    """Logits of the last `width` real positions of right-padded rows: shape (rows, width, vocabulary).

    Positions are counted from the end, because prompt methods prepend virtual tokens. Only those that some
    row needs go through the output layer, where the model can do so: with 100,000 words in the vocabulary
    the logits of all positions would take more memory than the model.
    """
    import torch

    longest = max(lengths)
    wanted = torch.tensor([[length - longest - width + offset for offset in range(width)] for length in lengths])
    kept, rank = wanted.clamp(min=-longest).unique(return_inverse=True)  # a short row has fewer; none of it is used
    if accepted(model, "logits_to_keep"):
        logits = model(**inputs, logits_to_keep=kept.to(model.device)).logits
    else:
        logits = model(**inputs).logits[:, kept.to(model.device)]
    rows = torch.arange(len(lengths), device=logits.device)[:, None]
    chosen: torch.Tensor = logits[rows, rank.to(logits.device)]
    return chosen
