"""Pre-training of the three models: architecture, batches and objective of each; one loop for all."""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.micro.corpus import documents, passages
from harness.micro.objectives import corrupted_spans, masked, own_loss, packed, weighted_loss
from harness.micro.world import World

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SEED = 7
Batches = Iterator[dict[str, "Tensor"]]


@dataclass(frozen=True)
class Recipe:
    """How one model is made. build: its architecture; batches: endless training batches; loss: of model and batch."""

    build: Callable[[PreTrainedTokenizerFast], PreTrainedModel]
    batches: Callable[[PreTrainedTokenizerFast, World], Batches]
    steps: int
    learning_rate: float
    loss: Callable[[PreTrainedModel, dict[str, Tensor]], Tensor] = own_loss


def pretrain(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, world: World, report: Callable[[str], None]) -> PreTrainedModel:
    """A freshly initialised model after all the recipe's steps: AdamW, warm-up, cosine decay to a twentieth."""
    import torch

    torch.manual_seed(SEED)
    model = recipe.build(tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, recipe.steps))
    started, losses = time.monotonic(), []
    for step, batch in enumerate(itertools.islice(recipe.batches(tokenizer, world), recipe.steps), 1):
        loss = recipe.loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 0:
            report(f"step {step}/{recipe.steps}: loss {sum(losses[-100:]) / 100:.3f}, {time.monotonic() - started:.0f} s")
    return model.eval()


def _rate(step: int, steps: int, warm_up: int = 50) -> float:
    progress = max(0.0, (step - warm_up) / max(1, steps - warm_up))
    return min(1.0, (step + 1) / warm_up) * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * progress)))


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes an ordinary Hugging Face folder: float16 on disk, for its size; float32 in the config, for use."""
    import torch

    model.to(torch.float16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = folder / "config.json"
    settings = {**json.loads(config.read_text(encoding="utf-8")), "dtype": "float32"}
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)  # save_pretrained leaves the weights readable by their owner alone


def _llama(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def _bert(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=256, pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.05,  # at this width BERT's 0.02 starts so flat that half of the steps go by unused
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    return BertForPreTraining(config)


def _t5(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(tokenizer), d_model=128, d_kv=32, d_ff=384, num_layers=3, num_decoder_layers=3, num_heads=4,
        dropout_rate=0.0, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id, tie_word_embeddings=True,
    )
    return T5ForConditionalGeneration(config)


def _decoder_batches(tokenizer: PreTrainedTokenizerFast, world: World) -> Batches:
    return packed(documents(world), tokenizer, length=512, batch_size=4)


def _encoder_batches(tokenizer: PreTrainedTokenizerFast, world: World) -> Batches:
    return masked(passages(world), tokenizer, batch_size=48, draw=random.Random(f"masks/{SEED}"))


def _seq2seq_batches(tokenizer: PreTrainedTokenizerFast, world: World) -> Batches:
    return corrupted_spans(passages(world), tokenizer, batch_size=32, draw=random.Random(f"spans/{SEED}"))


RECIPES: dict[str, Recipe] = {
    "decoder": Recipe(_llama, _decoder_batches, steps=1200, learning_rate=4e-3, loss=weighted_loss),
    "encoder": Recipe(_bert, _encoder_batches, steps=3000, learning_rate=1.5e-3),
    "seq2seq": Recipe(_t5, _seq2seq_batches, steps=1500, learning_rate=4e-3),
}



def make(name: str, world: World, folder: Path, report: Callable[[str], None], steps: int | None = None) -> None:
    """Trains tokenizer and model of one of MODELS and writes its folder. steps: fewer than the recipe's, to try."""
    from harness.micro.tokenizers import train_tokenizer

    recipe = RECIPES[name] if steps is None else replace(RECIPES[name], steps=steps)
    tokenizer = train_tokenizer(name, world)
    save(pretrain(recipe, tokenizer, world, report), tokenizer, folder)
