"""What virtual tokens begin as. Source: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning", sec. 3.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


def uniform(count: int, width: int, bound: float) -> torch.Tensor:
    """Uniform draws from -bound to bound; shape (count, width)."""
    import torch

    return torch.empty(count, width).uniform_(-bound, bound)


def sampled(count: int, most_frequent: int, embeddings: Any) -> torch.Tensor:
    """Embeddings of tokens drawn from the first `most_frequent` of the vocabulary; shape (count, width), fp32."""
    import torch

    ids = torch.randint(min(most_frequent, embeddings.num_embeddings), (count,))
    return _embedded(ids.tolist(), embeddings)


def of_text(count: int, text: str, tokenizer: PreTrainedTokenizerBase, embeddings: Any) -> torch.Tensor:
    """Embeddings of the text's first tokens, begun again where it has fewer; shape (count, width), fp32."""
    ids = _ids(text, tokenizer)
    return _embedded((ids * (count // len(ids) + 1))[:count], embeddings)


def of_words(count: int, words: Sequence[str], tokenizer: PreTrainedTokenizerBase, embeddings: Any) -> torch.Tensor:
    """One embedding per word, the mean over its tokens; shape (words, width) but never more than `count` rows, fp32."""
    import torch

    return torch.stack([_embedded(_ids(word, tokenizer), embeddings).mean(dim=0) for word in words[:count]])


def _ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _embedded(ids: list[int], embeddings: Any) -> torch.Tensor:
    """As the model embeds them: its own module, whatever scale it applies."""
    import torch

    with torch.no_grad():
        vectors: torch.Tensor = embeddings(torch.tensor(ids, device=embeddings.weight.device))
    return vectors.float()
