"""Tries a method on a model: does it train, train only what it should, survive saving, turn off, merge and generate?

What runs is not yet right: a pair of method and scheme can train without an error and still be wrong in one of these.
Every check is on real forward and backward passes of the model given, in its own dtype, dropout off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.methods.base import Attachment, Method

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

STEPS = 12
MERGE_TOLERANCE = 1e-4  # of the largest logit, where weights are stored in full precision
REQUANTIZED_TOLERANCE = 0.1  # where merging has to quantize the sum again
SAME = 1e-5  # of the largest logit: rounding of the same sums in another order


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. passed: None where it does not apply, and `detail` says why."""

    name: str
    passed: bool | None
    detail: str


@dataclass
class Trial:
    """One method on one model.

    load: a freshly loaded base model, the same every time, new heads included. attachment: what the method is told.
    batch: a training batch on the model's device, labels included. learning_rate: large enough to see the loss fall
    in a dozen steps. folder: for what is saved.
    """

    method: Method
    load: Callable[[], PreTrainedModel]
    attachment: Attachment
    batch: dict[str, torch.Tensor]
    folder: Path
    learning_rate: float = 1e-2
    checks: list[Check] = field(default_factory=list)

    def run(self) -> list[Check]:
        """All checks, in order. Raises Unsupported where the method cannot be attached, and whatever else breaks it."""
        base = self.load()
        base_logits = self.logits(base)
        model = self.method.attach(base, self.attachment)
        self._counted(model)
        self._trained(model)
        tuned_logits = self.logits(model)
        self._reloaded(model, tuned_logits)
        self._turned_off(model, base_logits)
        self._generated(model)
        self._checkpointed()
        self._merged(model, tuned_logits)
        return self.checks

    def logits(self, model: Any) -> torch.Tensor:
        """The model's logits of the batch in eval mode, those of virtual tokens left out; fp32."""
        import torch

        model.eval()
        with torch.no_grad():
            logits = model(**self.batch).logits.float()
        length = self.batch["labels"].shape[-1]
        return logits if self.attachment.head == "sequence-classification" else logits[:, -length:]

    def loss(self, model: Any) -> torch.Tensor:
        """The method's training loss of the batch."""
        own = self.method.loss(model, dict(self.batch))
        loss: torch.Tensor = model(**self.batch).loss if own is None else own
        return loss

    def _note(self, name: str, passed: bool | None, detail: str) -> None:
        self.checks.append(Check(name, passed, detail))

    def _counted(self, model: Any) -> None:
        trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        try:
            expected = self.method.count(self.attachment.anatomy) + self.attachment.anatomy.head
        except NotImplementedError:
            self._note("counts", None, f"{trainable:,} parameters; the method has no formula")
            return
        self._note("counts", trainable == expected, f"{trainable:,} trainable parameters, {expected:,} by formula")

    def _trained(self, model: Any) -> None:
        """A dozen AdamW steps on one batch, dropout off so that the loss has no noise."""
        import torch

        frozen = _digests(model, trainable=False)
        before = _digests(model, trainable=True)
        tunable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = self.method.parameter_groups(model, self.learning_rate, 0.0) or [{"params": tunable}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=0.0)
        model.eval()
        losses, finite = [], True
        for step in range(1, STEPS + 1):
            optimizer.zero_grad()
            loss = self.loss(model)
            loss.backward()
            gradients = [parameter.grad for parameter in tunable if parameter.grad is not None]
            finite = finite and bool(gradients) and all(bool(gradient.isfinite().all()) for gradient in gradients)
            optimizer.step()
            self.method.after_step(model, step)
            losses.append(float(loss.detach()))
        with torch.no_grad():
            losses.append(float(self.loss(model)))
        self._note("trains", losses[-1] < losses[0], f"loss {losses[0]:.4g} to {losses[-1]:.4g} in {STEPS} steps")
        self._note("gradients", finite, "finite" if finite else "none, or not finite")
        unmoved = [name for name, digest in _digests(model, trainable=True).items() if before.get(name) == digest]
        moved = [name for name, digest in _digests(model, trainable=False).items() if frozen.get(name, digest) != digest]
        self._note("moves", not unmoved, f"unmoved: {unmoved[:3]}" if unmoved else "all that should train changed")
        self._note("frozen", not moved, f"changed: {moved[:3]}" if moved else "all that should stay is the same, bit by bit")

    def _reloaded(self, model: Any, tuned: torch.Tensor) -> None:
        try:
            self.method.save(model, self.folder)
            again = self.method.reload(self.load(), self.folder, self.attachment)
        except Unsupported as reason:
            self._note("reloads", None, str(reason))
            return
        self._compare("reloads", self.logits(again), tuned, SAME)

    def _turned_off(self, model: Any, base: torch.Tensor) -> None:
        try:
            with self.method.off(model):
                logits = self.logits(model)
        except Unsupported as reason:
            self._note("turns_off", None, str(reason))
            return
        self._compare("turns_off", logits, base, 0.0)

    def _merged(self, model: Any, tuned: torch.Tensor) -> None:
        try:
            merged = self.method.merged(model)
        except Unsupported as reason:
            self._note("merges", None, str(reason))
            return
        tolerance = REQUANTIZED_TOLERANCE if self.attachment.scheme.quantizes else MERGE_TOLERANCE
        self._compare("merges", self.logits(merged), tuned, tolerance)

    def _generated(self, model: Any) -> None:
        """Greedy decoding with the cache gives what full forward passes give, and padding on the left changes nothing."""
        if self.attachment.head != "causal-lm":
            self._note("generates", None, "tried on decoders only")
            return
        import torch

        model.eval()
        prompt = self.batch["input_ids"][:1, :6]
        with torch.no_grad():
            cached = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4, min_new_tokens=4, do_sample=False)
            text = prompt
            for _ in range(4):
                following = model(input_ids=text, attention_mask=torch.ones_like(text)).logits[:, -1:].argmax(dim=-1)
                text = torch.cat([text, following], dim=1)
        same = torch.equal(cached[:, -4:], text[:, -4:])
        self._note("generates", same, "with the cache as without" if same else f"with the cache {cached[0, -4:].tolist()}, without {text[0, -4:].tolist()}")

    def _checkpointed(self) -> None:
        """Recomputing activations gives the gradients that keeping them gives."""
        plain = self._gradients(checkpointing=False)
        again = self._gradients(checkpointing=True)
        worst = max((float((plain[name] - again[name]).abs().max()) for name in plain if name in again), default=0.0)
        scale = max((float(gradient.abs().max()) for gradient in plain.values()), default=0.0)
        missing = sorted(set(plain) - set(again))
        passed = not missing and worst <= 1e-3 * scale
        self._note("checkpoints", passed, f"no gradient for {missing[:3]}" if missing else f"gradients differ by {worst:.2g} of {scale:.2g}")

    def _gradients(self, checkpointing: bool) -> dict[str, torch.Tensor]:
        import torch

        torch.manual_seed(self.attachment.seed)
        model = self.method.attach(self.load(), replace(self.attachment, gradient_checkpointing=checkpointing))
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        with _without_dropout(model):
            self.loss(model).backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}

    def _compare(self, name: str, logits: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
        """tolerance: of the largest expected logit; 0 asks for the same bits."""
        difference = float((logits - expected).abs().max())
        limit = tolerance * float(expected.abs().max())
        self._note(name, difference <= limit, f"logits differ by {difference:.2g}; {limit:.2g} is allowed")


@contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    """Training mode with every dropout off: checkpointing is active only in training mode."""
    import torch

    dropouts = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    rates = [module.p for module in dropouts]
    for module in dropouts:
        module.p = 0.0
    try:
        yield
    finally:
        for module, rate in zip(dropouts, rates, strict=True):
            module.p = rate


def _digests(model: Any, trainable: bool) -> dict[str, str]:
    """A hash of the bytes of every parameter that requires gradients, or of every one that does not."""
    return {
        name: hashlib.sha256(parameter.detach().cpu().contiguous().view(-1).view(_bytes()).numpy().tobytes()).hexdigest()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad == trainable
    }


def _bytes() -> Any:
    import torch

    return torch.uint8
