"""Generation: do the cache, and padding on the left, leave the logits what they are without?

Logits are compared and not tokens: between nearly equal logits, rounding decides which token comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NEW_TOKENS = 4
PADDING = 3  # tokens before the prompt


def difference_by_cache(model: Any, prompt: torch.Tensor) -> float:
    """How far the logits that `generate` finds with its cache are from those of one forward pass over the same tokens.

    prompt: token ids, shape (1, length). Returns the largest difference as a share of the largest logit.
    """
    import torch

    tokens, logits = _generated(model, prompt, torch.ones_like(prompt))
    if model.config.is_encoder_decoder:
        start = torch.full_like(tokens[:, :1], model.generation_config.decoder_start_token_id)
        inputs = {"input_ids": prompt, "decoder_input_ids": torch.cat([start, tokens[:, :-1]], dim=1)}
    else:
        inputs = {"input_ids": torch.cat([prompt, tokens[:, :-1]], dim=1)}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        whole = model(**inputs, use_cache=False).logits[:, -NEW_TOKENS:]
    return _difference(logits[0], whole[0].float())


def difference_by_padding(model: Any, prompt: torch.Tensor) -> float:
    """How far the logits of a decoder's prompt move when it is padded on the left, beside a longer one.

    prompt: token ids, shape (1, length). Returns the largest difference as a share of the largest logit, over the
    first new token and those that follow while both ways choose the same ones.
    """
    import torch

    longer = torch.cat([prompt[:, -PADDING:], prompt], dim=1)
    mask = torch.ones_like(longer).repeat(2, 1)
    mask[0, :PADDING] = 0
    tokens, logits = _generated(model, longer.repeat(2, 1), mask)
    alone_tokens, alone = _generated(model, prompt, torch.ones_like(prompt))
    same = int((tokens[0] == alone_tokens[0]).cumprod(dim=0).sum())
    compared = min(same + 1, NEW_TOKENS)
    return _difference(logits[0, :compared], alone[0, :compared])


def _generated(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """New tokens, shape (rows, NEW_TOKENS), decoded greedily, and the logits that they were chosen by, in fp32."""
    import torch

    model.eval()
    with torch.no_grad():
        found = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False,
            use_cache=True, return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
    return found.sequences[:, -NEW_TOKENS:], torch.stack(found.logits, dim=1).float()


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
