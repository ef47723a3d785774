"""Prompt tuning, multitask prompt tuning and P-tuning: three parameterisations of a soft prompt at the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, Attachment
from harness.methods.prompt_embeddings import of_text, of_words, sampled, uniform
from harness.methods.soft_prompt import SoftPrompt, embedding_width
from harness.models.anatomy import Anatomy

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Init = Literal["random", "sample-vocabulary", "text", "class-labels"]


class InitialisedPrompt(SoftPrompt):
    """A prompt whose virtual tokens begin as something that the model knows (Lester et al., sec. 3.2)."""

    config_class: ClassVar[str] = "PromptTuningConfig"
    knob: ClassVar[str] = "num_virtual_tokens"

    prompt_tuning_init: Init = identity("sample-vocabulary", description="what virtual tokens begin as: random, sample-vocabulary, text or class-labels")
    prompt_tuning_init_text: str | None = identity(None, min_length=1, description="the text of prompt_tuning_init: text, repeated to the prompt's length")
    prompt_tuning_init_labels: tuple[str, ...] | None = identity(None, min_length=1, description="the words of prompt_tuning_init: class-labels; null: the names of the task's classes")
    init_vocabulary: int = identity(5000, ge=1, description="virtual tokens are sampled from this many first tokens of the vocabulary, which most tokenizers order by frequency")
    init_range: float = identity(0.5, gt=0, description="random virtual tokens are drawn uniformly from -init_range to init_range")

    @model_validator(mode="after")
    def _text_is_given(self) -> InitialisedPrompt:
        if (self.prompt_tuning_init == "text") != (self.prompt_tuning_init_text is not None):
            raise ValueError("prompt_tuning_init: text and prompt_tuning_init_text go together")
        if self.prompt_tuning_init_labels is not None and self.prompt_tuning_init != "class-labels":
            raise ValueError("prompt_tuning_init_labels goes with prompt_tuning_init: class-labels")
        return self

    def initial(self, embeddings: Any, attachment: Attachment) -> torch.Tensor:
        """Where the prompt begins, shape (num_virtual_tokens, width), fp32; raises Unsupported for a task without classes."""
        import torch

        count, tokenizer = self.num_virtual_tokens, attachment.tokenizer
        if self.prompt_tuning_init == "random":
            return uniform(count, embeddings.embedding_dim, self.init_range)
        if self.prompt_tuning_init == "sample-vocabulary":
            return sampled(count, self.init_vocabulary, embeddings)
        assert tokenizer is not None, "a cell has one"
        if self.prompt_tuning_init == "text":
            assert self.prompt_tuning_init_text is not None, "validated"
            return of_text(count, self.prompt_tuning_init_text, tokenizer, embeddings)
        words = self.prompt_tuning_init_labels or attachment.label_words
        if words is None:
            raise Unsupported("prompt_tuning_init: class-labels, but the task has no classes; name words: prompt_tuning_init_labels: [...]")
        known = of_words(count, words, tokenizer, embeddings)
        return torch.cat([known, sampled(count - len(known), self.init_vocabulary, embeddings)]) if len(known) < count else known


@METHODS.register("prompt-tuning")
class PromptTuning(InitialisedPrompt):
    """Embeddings of virtual tokens are tuned directly (Lester et al. 2021, arXiv 2104.08691).

    Trainable parameters: num_virtual_tokens * width of the token embeddings.
    """

    def count(self, anatomy: Anatomy) -> int:
        """Length times width."""
        return self.num_virtual_tokens * embedding_width(anatomy)

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """See SoftPrompt.attach; the prompt begins as prompt_tuning_init says."""
        initial = self.initial(model.get_input_embeddings(), attachment)
        wrapped = super().attach(model, attachment)
        wrapped.prompt_encoder["default"].embedding.weight.data.copy_(initial)
        return wrapped


@METHODS.register("multitask-prompt-tuning")
class MultitaskPromptTuning(InitialisedPrompt):
    """A prompt shared by tasks times a low-rank matrix of this task's own (Wang et al. 2023, arXiv 2303.02861, sec. 3).

    The prompt is P * (U V), elementwise: P (num_virtual_tokens x width) is shared, U (num_virtual_tokens x
    num_ranks) and V (num_ranks x width) are the task's. A cell has one task, so there is one U and one V.
    Trainable parameters: num_virtual_tokens * width + num_ranks * (num_virtual_tokens + width).
    """

    num_virtual_tokens: int = identity(100, ge=1, description="length of the prompt in virtual tokens")
    num_ranks: int = identity(1, ge=1, description="rank of the task's own matrix")

    def count(self, anatomy: Anatomy) -> int:
        """The shared prompt, and both factors of the task's matrix."""
        width = embedding_width(anatomy)
        return self.num_virtual_tokens * width + self.num_ranks * (self.num_virtual_tokens + width)

    def attach(self, model: PreTrainedModel, attachment: Attachment) -> Any:
        """See SoftPrompt.attach; PEFT's plain prompt with its encoder replaced by the product."""
        from harness.methods.tuners.task_prompt import task_prompt

        embeddings = model.get_input_embeddings()
        encoder = task_prompt(self.peft_values(attachment), self.num_ranks, embeddings)
        encoder.embedding.weight.data.copy_(self.initial(embeddings, attachment))
        wrapped = super().attach(model, attachment)
        wrapped.prompt_encoder["default"] = encoder.to(wrapped.device)
        return wrapped


@METHODS.register("p-tuning")
class PTuning(SoftPrompt):
    """Virtual tokens that a small network makes out of tuned embeddings (P-tuning v1, Liu et al. 2021, arXiv 2103.10385).

    The network (a bidirectional LSTM and an MLP, or an MLP alone) is tuned too, and gone after training: what is
    saved are the virtual tokens that it makes. With n virtual tokens of width d and hidden size h, trainable are
    n d, plus for `MLP` 2 d h + h^2 + 2 h + d, plus for `LSTM` with L layers
    8 h (d + h + 2) + (L - 1) 8 h (3 h + 2) + 2 h (2 h + 1) + d (2 h + 1) parameters.
    """

    config_class: ClassVar[str] = "PromptEncoderConfig"
    knob: ClassVar[str] = "encoder_hidden_size"

    encoder_reparameterization_type: Literal["LSTM", "MLP"] = identity("LSTM", description="the network: LSTM with an MLP behind it, or MLP")
    encoder_hidden_size: int | None = identity(None, ge=1, description="its width; null: half the embeddings' width for LSTM (both directions together fill it), all of it for MLP")
    encoder_num_layers: int = identity(2, ge=1, description="layers of the LSTM; the MLP always has PEFT's three")
    encoder_dropout: float = identity(0.0, ge=0, lt=1, description="dropout between the LSTM's layers")

    @model_validator(mode="after")
    def _is_used(self) -> PTuning:
        of_lstm = {"encoder_num_layers", "encoder_dropout"} & self.model_fields_set
        if self.encoder_reparameterization_type == "MLP" and of_lstm:
            raise ValueError(f"{sorted(of_lstm)[0]} is the LSTM's; PEFT's MLP has no such setting")
        return self

    def peft_values(self, attachment: Attachment) -> dict[str, Any]:
        """Length and width of the prompt, and PromptEncoderConfig's own fields."""
        own = self.model_dump(include={"encoder_reparameterization_type", "encoder_num_layers", "encoder_dropout"})
        return super().peft_values(attachment) | own | {"encoder_hidden_size": self._hidden_size(attachment.anatomy)}

    def count(self, anatomy: Anatomy) -> int:
        """Embeddings and network; see the class."""
        width, hidden = embedding_width(anatomy), self._hidden_size(anatomy)
        embeddings = self.num_virtual_tokens * width
        if self.encoder_reparameterization_type == "MLP":
            return embeddings + 2 * width * hidden + hidden**2 + 2 * hidden + width
        lstm = 8 * hidden * (width + hidden + 2) + (self.encoder_num_layers - 1) * 8 * hidden * (3 * hidden + 2)
        return embeddings + lstm + 2 * hidden * (2 * hidden + 1) + width * (2 * hidden + 1)

    def _hidden_size(self, anatomy: Anatomy) -> int:
        if self.encoder_hidden_size is not None:
            return self.encoder_hidden_size
        width = embedding_width(anatomy)
        return max(width // 2, 1) if self.encoder_reparameterization_type == "LSTM" else width
