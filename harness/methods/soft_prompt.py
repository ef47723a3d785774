"""Soft prompts at the input: trained embeddings of virtual tokens that are read before a text's own, through PEFT."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import Attachment, SizedMethod
from harness.methods.peft_model import PeftMethod
from harness.methods.virtual_tokens import read_positions_from_the_mask
from harness.models.anatomy import Anatomy
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SoftPrompt(PeftMethod, SizedMethod):
    """What methods with virtual tokens at the input have in common.

    An encoder-decoder reads them in its encoder alone, as T5 did in Lester et al. (arXiv 2104.08691, sec. 2);
    PEFT's own default makes as many again for the decoder, which it then never uses.
    """

    num_virtual_tokens: int = identity(20, ge=1, description="length of the prompt in virtual tokens")

    @property
    def virtual_tokens(self) -> int:
        """The prompt's length: it takes that much of the context."""
        return self.num_virtual_tokens

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """A prompt must leave room for a text."""
        if model is not None and model.context is not None and self.num_virtual_tokens >= model.context:
            return f"a prompt of {self.num_virtual_tokens} virtual tokens leaves nothing of the model's context of {model.context}"
        return None

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """Length and width of the prompt, in the encoder alone."""
        width = embedding_width(attachment.anatomy)
        return {"num_virtual_tokens": self.num_virtual_tokens, "token_dim": width, "num_transformer_submodules": 1}

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """A PeftModel over the frozen base; raises Unsupported for classification with an encoder-decoder, and for spans."""
        if attachment.head == "question-answering":
            raise Unsupported(f"{self.method}: PEFT doesn't move a span's ends behind the virtual tokens, so that it would train on other words")
        if attachment.head == "sequence-classification":
            if attachment.model.kind == "encoder-decoder":
                raise Unsupported(f"{self.method}: transformers' encoder-decoders take no embeddings for classification, so no virtual tokens")
            if attachment.model.kind == "encoder":
                attachment.notes.append("virtual tokens stand before the whole text: a head that reads the first position reads the first of them")
        wrapped = super().attach(model, attachment)
        read_positions_from_the_mask(wrapped, attachment)
        return wrapped

    def reload(self, model: PreTrainedModel, folder: Path, attachment: Attachment) -> Any:
        """PEFT's from_pretrained; a reparameterised prompt comes back as the embeddings that it had become."""
        wrapped = super().reload(model, folder, attachment)
        read_positions_from_the_mask(wrapped, attachment)
        return wrapped

    def save(self, model: Any, folder: Path) -> None:
        """See PeftMethod.save; the prompt as inference computes it: a CPU's LSTM rounds otherwise where it keeps gradients."""
        import torch

        with torch.no_grad():
            super().save(model, folder)

    def off(self, model: Any) -> AbstractContextManager[Any]:
        """The frozen base without the prompt, its head as it was before training."""
        from peft.utils import ModulesToSaveWrapper

        heads = [module for module in model.modules() if isinstance(module, ModulesToSaveWrapper)]
        return _classifier_off(model, heads) if heads else super().off(model)


@contextmanager
def _classifier_off(model: Any, heads: list[Any]) -> Iterator[Any]:
    """What PEFT's disable_adapter cannot do for prompts on classifiers: it fails there, and would leave the tuned head on."""
    model.forward = model.get_base_model().forward
    for head in heads:
        head.enable_adapters(False)
    try:
        yield model
    finally:
        del model.forward
        for head in heads:
            head.enable_adapters(True)


def embedding_width(anatomy: Anatomy) -> int:
    """Width of the token embeddings, which is not the residual stream's in every model (OPT-350m, ALBERT)."""
    embeddings = [module for module in anatomy.modules if module.kind == "embedding"]
    return max(embeddings, key=lambda module: module.in_features).out_features
