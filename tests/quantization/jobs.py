"""Quantization jobs as a cell would hand them to a scheme, with micro texts as calibration: shared by the tests of the schemes."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

from harness.micro import data_path
from harness.models.base import ModelConfig
from harness.models.facts import read_facts
from harness.models.load import load_model
from harness.quantization.base import SCHEMES, Scheme
from harness.quantization.job import QuantizationJob
from harness.tasks.base import Head

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

LANGUAGE = {
    "decoder": Head("causal-lm"),
    "encoder-decoder": Head("seq2seq-lm"),
    "encoder": Head("sequence-classification", 2, "single_label_classification"),
}


def scheme(name: str, **fields: object) -> Scheme:
    """The registered scheme with these fields."""
    return SCHEMES.get(name).model_validate({"scheme": name, **fields})


def model_config(model_folder: Path) -> ModelConfig:
    """The suite's entry for that folder, in float32."""
    return ModelConfig(source=f"path:{model_folder}", dtype="float32")


def default_head(model_folder: Path) -> Head:
    """The language-model head of the model's kind; two classes for an encoder."""
    facts = read_facts(model_config(model_folder))
    assert facts is not None, "a local folder has facts"
    return LANGUAGE[facts.kind]


def job(
    model_folder: Path,
    folder: Path,
    samples: int = 0,
    length: int = 128,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    head: Head | None = None,
) -> QuantizationJob:
    """What a scheme is told to quantize the model at `model_folder` into the new folder `folder`.

    samples: how many calibration samples of `length` tokens each, cut one behind the other out of the micro corpus.
    """
    config = ModelConfig(source=f"path:{model_folder}", dtype=str(dtype).removeprefix("torch."))
    facts = read_facts(config)
    assert facts is not None, "a local folder has facts"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    folder.mkdir(parents=True)
    return QuantizationJob(
        source=str(model_folder),
        revision=None,
        facts=facts,
        dtype=dtype,
        device=device,
        trust_remote_code=False,
        tokenizer=tokenizer,
        samples=calibration_samples(tokenizer, samples, length),
        seed=0,
        load=lambda: load_model(config, head or default_head(model_folder), SCHEMES.get("none")(scheme="none"), device, Path()),
        folder=folder,
        notes=[],
    )


def calibration_samples(tokenizer: transformers.PreTrainedTokenizerBase, samples: int, length: int) -> list[torch.Tensor]:
    """The first `samples` windows of `length` tokens of the micro corpus, each of shape (length,)."""
    import pyarrow.parquet

    if not samples:
        return []
    rows = pyarrow.parquet.read_table(data_path("wikitext") / "train.parquet")["text"].to_pylist()
    ids = tokenizer("\n\n".join(rows), return_tensors="pt").input_ids[0]  # as tasks/wikitext2.py joins them
    assert len(ids) >= samples * length, f"{len(ids)} tokens are too few for {samples} samples of {length}"
    return [ids[start : start + length] for start in range(0, samples * length, length)]
