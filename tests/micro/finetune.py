"""A plain fine-tuning loop on micro-glue, with nothing of the harness but the files: what the tests measure with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from harness.micro import data_path, model_path


@dataclass(frozen=True)
class Tuned:
    """Accuracy, or Pearson's r for a regression, before and after; and what always saying the commonest label gets."""

    before: float
    after: float
    majority: float


def fine_tune(task: str, lora: bool, steps: int = 150, batch_size: int = 32, learning_rate: float = 5e-4) -> Tuned:
    """Tunes the micro encoder on glue/<task> and scores it on the validation split."""
    torch.manual_seed(0)
    train, validation = (pd.read_parquet(data_path(f"glue/{task}") / f"{split}.parquet") for split in ("train", "validation"))
    regression = task == "stsb"
    tokenizer = AutoTokenizer.from_pretrained(model_path("encoder"))
    model = AutoModelForSequenceClassification.from_pretrained(model_path("encoder"), num_labels=1 if regression else 2)
    if lora:
        config = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "key", "value"])
        model = get_peft_model(model, config)
    before = score(model, tokenizer, validation)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    for rows in batches(train, batch_size, steps):
        labels = torch.tensor(rows["label"].to_numpy(), dtype=torch.float32 if regression else torch.long)
        model(**encoded(tokenizer, rows), labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    majority = 0.0 if regression else float(validation["label"].value_counts(normalize=True).max())
    return Tuned(before, score(model, tokenizer, validation), majority)


def batches(rows: pd.DataFrame, batch_size: int, steps: int) -> Iterator[pd.DataFrame]:
    """So many random batches of the rows, epoch after epoch, the same on every run."""
    draw = np.random.default_rng(0)
    order: list[int] = []
    for _ in range(steps):
        if len(order) < batch_size:
            order = list(draw.permutation(len(rows)))
        yield rows.iloc[order[:batch_size]]
        order = order[batch_size:]


def encoded(tokenizer: Any, rows: pd.DataFrame) -> Any:
    """The rows' sentences, or pairs, as a padded batch."""
    columns = [column for column in ("sentence", "sentence1", "sentence2") if column in rows]
    return tokenizer(*(rows[column].tolist() for column in columns), padding=True, truncation=True, return_tensors="pt")


@torch.no_grad()
def score(model: Any, tokenizer: Any, rows: pd.DataFrame) -> float:
    """Accuracy over the rows, or Pearson's r where the model has one output."""
    model.eval()
    logits = torch.cat([model(**encoded(tokenizer, rows[i : i + 100])).logits for i in range(0, len(rows), 100)])
    if logits.shape[1] == 1:
        return float(np.corrcoef(logits[:, 0].numpy(), rows["label"].to_numpy())[0, 1])
    return float((logits.argmax(-1).numpy() == rows["label"].to_numpy()).mean())
