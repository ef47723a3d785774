"""The prompt of multitask prompt tuning in PEFT's place for a plain one."""

from __future__ import annotations

from typing import Any

import torch
from peft import MultitaskPromptTuningConfig
from peft.tuners.multitask_prompt_tuning import MultitaskPromptEmbedding


class TaskPrompt(MultitaskPromptEmbedding):
    """PEFT's shared prompt times task matrices, asked for its only task.

    PEFT wants a task id in every forward pass and every generation, and its own branch for this prompt on
    encoder-decoders needs labels in every pass and generates without the decoder's half. As the encoder of a plain
    prompt (`PromptTuningConfig`) it needs none of that: any pass, any model, any generation.
    """

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        """Embeddings of the virtual tokens; shape (1, num_virtual_tokens, width)."""
        prompt: torch.Tensor = super().forward(indices, torch.zeros(1, dtype=torch.long, device=indices.device))
        return prompt


def task_prompt(values: dict[str, Any], num_ranks: int, embeddings: Any) -> TaskPrompt:
    """The prompt of one task. values: length, width and submodules, as PromptTuningConfig gets them."""
    return TaskPrompt(MultitaskPromptTuningConfig(**values, num_ranks=num_ranks, num_tasks=1), embeddings)
