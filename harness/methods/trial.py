"""Tries a method on a model: does it train, train only what it should, survive saving, turn off, merge and generate?

What runs is not yet right: a pair of method and scheme can train without an error and still be wrong in one of these.
Every check is on real forward and backward passes of the model given, and compares the method with what its base
model does: where the base itself fails a check, it is not held against the method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.methods.base import Attachment, Method
from harness.methods.checks.dropout import turn_dropout_off
from harness.methods.checks.generation import difference_by_cache, difference_by_padding
from harness.methods.checks.merging import Nearness, last_hidden_states, lost, relative_error, tuned_head
from harness.methods.checks.recomputing import recomputed
from harness.methods.checks.training import LEAST_FALL, STEPS, Tuned, best_tuned, tune
from harness.methods.checks.weights import frozen_digests, tuned_digests
from harness.models.load import head_modules
from harness.records.parts import CheckName
from harness.records.schema import Check
from harness.tasks.batches import accepted

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SAME = 1e-5  # of the largest logit: rounding of the same sums in another order
SAME_PATH = 1e-3  # of the largest logit: the same function in another way, through a cache or padded
SAME_LOSS = 2.0  # a factor: the sum over the accumulated batches is a larger one
BROKEN_BASE = 0.1  # of the largest logit: two ways that are further apart are not the same function
PROMPT_TOKENS = 6


@dataclass
class Trial:
    """One method on one model.

    load: a freshly loaded base model, the same every time, new heads included. attachment: what the method is told.
    batch: a training batch on the model's device, labels included. folder: for what is saved. reference: the same
    model with weights that are not quantized, to judge merging by; None where `load`'s are not, or none is there.
    trainer(model, learning rate): trains the model for a few steps in the way that cells do, and gives the loss of the first.
    """

    method: Method
    load: Callable[[], PreTrainedModel]
    attachment: Attachment
    batch: dict[str, torch.Tensor]
    folder: Path
    reference: Callable[[], PreTrainedModel] | None = None
    trainer: Callable[[Any, float], float] | None = None
    checks: list[Check] = field(default_factory=list)

    def run(self) -> list[Check]:
        """All checks, in the order of CHECKS. Raises Unsupported where the method cannot be attached, and whatever else breaks it.

        What was found until then is in `checks`.
        """
        tuned = self._trained()
        logits = self.logits(tuned.model)
        self._turned_off(tuned.model)
        self._reloaded(tuned.model, logits)
        self._checkpointed()
        self._generated(tuned.model)
        self._padded(tuned.model)
        self._merged(tuned.model)
        self._trained_as_cells_are(tuned)
        return self.checks

    @cached_property
    def base(self) -> PreTrainedModel:
        """The base model, for what the method is compared with; nothing is attached to it."""
        return self.load()

    @cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The batch without what is there for the method's own loss alone."""
        return {name: tensor for name, tensor in self.batch.items() if accepted(self.base, name)}

    def attached(self, checkpointing: bool = False) -> Any:
        """A fresh base with the method attached, the same every time."""
        import torch

        base = self.load()
        torch.manual_seed(self.attachment.seed)
        return self.method.attach(base, replace(self.attachment, gradient_checkpointing=checkpointing))

    def logits(self, model: Any) -> torch.Tensor:
        """The model's logits of the batch in eval mode, those of virtual tokens left out; fp32. Of a span, those of both its ends."""
        import torch

        model.eval()
        with torch.no_grad():
            outputs = model(**self.inputs)
        if self.attachment.head == "question-answering":
            return torch.stack((outputs.start_logits, outputs.end_logits), dim=-1).float()
        logits: torch.Tensor = outputs.logits.float()
        return logits if self.attachment.new_head else logits[:, -self.batch["labels"].shape[-1] :]

    def loss(self, model: Any) -> torch.Tensor:
        """The method's training loss of the batch, in training mode and with the same dropout every time."""
        import torch

        model.train()
        torch.manual_seed(self.attachment.seed)
        own = self.method.loss(model, dict(self.batch))
        return self._base_loss(model) if own is None else own

    def _note(self, name: CheckName, passed: bool | None, detail: str) -> None:
        self.checks.append(Check(name=name, passed=passed, detail=detail))

    def _trained(self) -> Tuned:
        """counts, trains, gradients, moves, frozen."""
        self._counted(self.attached())
        tuned = best_tuned(self._tuned)
        first, *_, last = tuned.losses
        self._note(
            "trains", tuned.fall > LEAST_FALL, f"loss {first:.4g} to {last:.4g} in {STEPS} steps at a learning rate of {tuned.learning_rate:g}"
        )
        self._note("gradients", tuned.finite, "finite" if tuned.finite else "none, or not finite")
        self._note("moves", not tuned.unmoved, _some("unmoved", tuned.unmoved) or "all that should train changed")
        self._note("frozen", not tuned.moved, _some("changed", tuned.moved) or "all that should stay is the same, bit by bit")
        return tuned

    def _counted(self, model: Any) -> None:
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        try:
            expected = self.method.count(self.attachment.anatomy) + self.attachment.anatomy.head
        except NotImplementedError:
            self._note("counts", None, f"{trainable:,} parameters; the method has no formula")
            return
        self._note("counts", trainable == expected, f"{trainable:,} trainable parameters, {expected:,} by formula")

    def _tuned(self, learning_rate: float) -> Tuned:
        model, weights = self._attached_to_known_weights()
        return tune(self.method, model, self.loss, weights, learning_rate)

    def _attached_to_known_weights(self) -> tuple[Any, list[torch.Tensor]]:
        """A fresh base with the method attached, and the base's parameters."""
        import torch

        base = self.load()
        weights: list[torch.Tensor] = list(base.parameters())
        torch.manual_seed(self.attachment.seed)
        return self.method.attach(base, self.attachment), weights

    @cached_property
    def _quantization(self) -> float | None:
        """The relative error that storing the base's weights quantized makes; None where they are not, or without reference."""
        if self.reference is None:
            return None
        return relative_error(last_hidden_states(self.base, self.inputs), last_hidden_states(self.reference(), self.inputs))

    @property
    def _head(self) -> list[str]:
        return head_modules(self.base) if self.attachment.new_head else []

    def _turned_off(self, model: Any) -> None:
        try:
            with self.method.off(model):
                logits = self.logits(model)
        except Unsupported as reason:
            self._note("turns_off", None, str(reason))
            return
        self._compare("turns_off", logits, self.logits(self.base), 0.0)

    def _reloaded(self, model: Any, tuned: torch.Tensor) -> None:
        try:
            self.method.save(model, self.folder)
            again = self.method.reload(self.load(), self.folder, self.attachment)
        except Unsupported as reason:
            self._note("reloads", None, str(reason))
            return
        self._compare("reloads", self.logits(again), tuned, SAME)

    def _checkpointed(self) -> None:
        if not self.base.supports_gradient_checkpointing:
            self._note("checkpoints", None, f"transformers recomputes no activations of {self.attachment.model.model_type} models")
            return
        try:
            found = recomputed(self.attached, self.loss)
        except Unsupported as reason:
            self._note("checkpoints", None, str(reason))
            return
        if not found.same and not recomputed(self._trainable_base, self._base_loss).same:
            self._note("checkpoints", None, "the base model's own gradients differ")
            return
        self._note("checkpoints", found.same, _some("no gradient", found.missing) or str(found))

    def _trainable_base(self, checkpointing: bool) -> PreTrainedModel:
        base = self.load()
        for parameter in base.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return base

    def _base_loss(self, model: Any) -> torch.Tensor:
        """The task's loss of the batch, in training mode and with the same dropout every time."""
        import torch

        model.train()
        torch.manual_seed(self.attachment.seed)
        loss: torch.Tensor = model(**self.inputs).loss
        return loss

    def _generated(self, model: Any) -> None:
        if self.attachment.new_head:
            self._note("generates", None, f"a model with the head {self.attachment.head} generates nothing")
            return
        self._compare_with_base("generates", difference_by_cache, model)

    def _padded(self, model: Any) -> None:
        if self.attachment.head != "causal-lm":
            self._note("pads", None, "only decoders are padded on the left")
            return
        self._compare_with_base("pads", difference_by_padding, model)

    def _compare_with_base(self, name: CheckName, difference: Callable[[Any, torch.Tensor], float], model: Any) -> None:
        """Holds against the method only what it differs by more than twice as much as its base does."""
        prompt = self.batch["input_ids"][:1, :PROMPT_TOKENS]
        of_base = difference(self.base, prompt)
        if self.attachment.scheme.rounds_activations and self._quantization is not None:
            of_base = max(of_base, self._quantization)  # a rounding that goes the other way moves everything behind it
        if of_base > BROKEN_BASE:
            self._note(name, None, f"the base model's own logits differ by {of_base:.2g} of the largest")
            return
        allowed, found = max(SAME_PATH, 2 * of_base), difference(model, prompt)
        self._note(name, found <= allowed, f"logits differ by {found:.2g} of the largest; {allowed:.2g} is allowed")

    def _merged(self, model: Any) -> None:
        head = tuned_head(model, self._head)
        tuned = last_hidden_states(model, self.inputs)
        try:
            merged = self.method.merged(model)
        except Unsupported as reason:
            self._note("merges", None, str(reason))
            return
        missing = lost(merged, head)
        if missing:
            self._note("merges", False, _some("not as tuned in the merged model", missing))
            return
        if self.attachment.scheme.quantizes and self._quantization is None:
            self._note("merges", None, "no weights in full precision to judge it by")
            return
        untuned = last_hidden_states(self.base, self.inputs)
        error = relative_error(last_hidden_states(merged, self.inputs), tuned)
        nearness = Nearness(error, relative_error(untuned, tuned), self._quantization)
        self._note("merges", nearness.passed, str(nearness))

    def _trained_as_cells_are(self, tuned: Tuned) -> None:
        """The steps of the other checks are this module's own: what only the Trainer refuses or does is seen here."""
        if self.trainer is None:
            self._note("trainer", None, "no Trainer was given")
            return
        model, weights = self._attached_to_known_weights()
        turn_dropout_off(model)
        frozen, before = frozen_digests(model, weights), tuned_digests(model)
        expected = float(self.loss(model).detach())
        loss = self.trainer(model, tuned.learning_rate)
        changed = [name for name, found in frozen_digests(model, weights).items() if frozen[name] != found]
        stuck = tuned_digests(model) == before
        passed = expected / SAME_LOSS < loss < expected * SAME_LOSS and not changed and not stuck
        wrong = _some("changed", changed) or ("nothing changed that should train" if stuck else "")
        self._note("trainer", passed, wrong or f"a loss of {loss:.4g} at the first step, {expected:.4g} without the Trainer")

    def _compare(self, name: CheckName, logits: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
        """tolerance: of the largest expected logit; 0 asks for the same bits."""
        difference = float((logits - expected).abs().max())
        limit = tolerance * float(expected.abs().max())
        self._note(name, difference <= limit, f"logits differ by {difference:.2g}; {limit:.2g} is allowed")


def _some(what: str, names: Sequence[str]) -> str:
    """The first names and how many there are; nothing for none."""
    return f"{what}: {', '.join(names[:2])}" + (f" and {len(names) - 2} more" if len(names) > 2 else "") if names else ""
