"""Tries one scheme's kernel on the device: a tiny model is quantized, loaded and asked, and so are ordinary layers of the same weights.

Run as a process of its own (`kernels_here`), because it needs torch and a kernel may end the process that it is tried in.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError
from harness.quantization.base import SCHEMES, Scheme, StoredScheme

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.models.base import ModelConfig

Dtype = Literal["float32", "bfloat16", "float16"]
SHAPE = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 1800, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": False, "max_position_embeddings": 256,
}  # fmt: skip
#: The largest relative error of logits against ordinary layers of the same weights, by the dtype computed in.
ROUNDING = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.02}
ROUNDED_ACTIVATIONS = 0.1
SAMPLES, TOKENS = 4, 128


@dataclass(frozen=True)
class Candidate:
    """What is to be tried. scheme: registered name. kernel: one of a packed scheme's kernels, None where the scheme has but one."""

    scheme: str
    kernel: str | None = None

    def __str__(self) -> str:
        return self.scheme if self.kernel is None else f"{self.scheme}, kernel {self.kernel}"


@dataclass(frozen=True)
class KernelTrial:
    """What came of it. computed_by: the class that computes the products. error: relative, of the logits (Frobenius norm).
    reason: why the kernel cannot be used here; None: it can."""

    candidate: Candidate
    dtype: str
    seconds: float
    computed_by: str | None = None
    error: float | None = None
    reason: str | None = None


def dtype_on(device: str) -> Dtype:
    """The dtype that kernels are tried in: what cells mostly use there."""
    return "bfloat16" if device == "cuda" else "float32"


def try_kernel(candidate: Candidate, device: str, dtype: Dtype, folder: Path) -> KernelTrial:
    """Quantizes the tiny model, loads it, and compares its logits with those of ordinary layers of the same weights.

    folder: scratch space, shared by trials. Lets exceptions of the libraries escape; a HarnessError becomes the trial's reason.
    """
    import torch

    begun = time.monotonic()
    try:
        of = _scheme(candidate)
        model = _loaded(of, device, dtype, folder)
    except HarnessError as refusal:
        return KernelTrial(candidate, dtype, time.monotonic() - begun, reason=str(refusal))
    kernels = sorted({layer.kernel for layer in of.quantized_layers(model)})
    ids = torch.randint(3, 1700, (2, 16), generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        found = model(input_ids=ids).logits.float()
    ordinary = of.dequantized(model)
    with torch.inference_mode():
        expected = ordinary(input_ids=ids).logits.float()
    error = float((found - expected).norm() / expected.norm())
    allowed = max(ROUNDING[dtype], ROUNDED_ACTIVATIONS if of.rounds_activations else 0)
    reason = None if kernels else "the model was loaded without any quantized layer"
    if not error <= allowed:  # NaN, too
        reason = f"its products are wrong: relative error {error:.3g} against ordinary layers of the same weights, at most {allowed:g} is rounding"
    return KernelTrial(candidate, dtype, time.monotonic() - begun, ", ".join(kernels) or None, error, reason)


def _scheme(candidate: Candidate) -> Scheme:
    given = {"scheme": candidate.scheme} | ({} if candidate.kernel is None else {"kernel": candidate.kernel})
    return SCHEMES.get(candidate.scheme).model_validate(given)


def _loaded(of: Scheme, device: str, dtype: Dtype, folder: Path) -> PreTrainedModel:
    from harness.models.base import ModelConfig
    from harness.models.load import load_model
    from harness.models.random_weights import materialise
    from harness.tasks.base import Head

    (folder / "config.json").write_text(json.dumps(SHAPE), encoding="utf-8")
    plain = ModelConfig(source=f"random:{folder}", dtype=dtype)
    config = ModelConfig(source=f"path:{materialise(str(folder), plain, folder)}", dtype=dtype)
    head = Head("causal-lm")
    if not isinstance(of, StoredScheme):
        return load_model(config, head, of.loaded_for(device, True), device, folder)
    with TemporaryDirectory(dir=folder) as stored:
        _quantize(of, config, head, device, Path(stored))
        model = load_model(of.stored_model(config, Path(stored)), head, of.loaded_for(device, True), device, folder)
        of.restore(model, Path(stored))
    return model


def _quantize(of: StoredScheme, config: ModelConfig, head: Any, device: str, folder: Path) -> None:
    """Calibrated schemes look at random tokens: whether the kernel computes right does not depend on how well it was calibrated."""
    import torch
    from transformers import AutoTokenizer

    from harness.models.facts import read_facts
    from harness.models.load import load_model
    from harness.quantization.job import QuantizationJob

    facts, place = read_facts(config), config.source.removeprefix("path:")
    assert facts is not None, "a local folder has facts"
    random = torch.Generator().manual_seed(0)
    samples = [torch.randint(3, 1700, (TOKENS,), generator=random) for _ in range(SAMPLES)]
    unquantized = SCHEMES.get("none")(scheme="none")
    of.quantize(QuantizationJob(
        source=place, revision=None, facts=facts, dtype=getattr(torch, config.dtype), device=device, trust_remote_code=False,
        tokenizer=AutoTokenizer.from_pretrained(place), samples=[] if of.calibrated_on is None else samples, seed=0,
        load=lambda: load_model(config, head, unquantized, device, folder), folder=folder, notes=[],
    ))  # fmt: skip


def main() -> None:
    """`python -m harness.quantization.kernel_trial DEVICE OUT CANDIDATES`: tries each of the JSON list's, and appends a line of JSON to OUT."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("device", choices=("cpu", "cuda"))
    parser.add_argument("out", type=Path)
    parser.add_argument("candidates", type=json.loads)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        for values in given.candidates:
            trial = try_kernel(Candidate(**values), given.device, dtype_on(given.device), Path(folder))
            with given.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(trial)) + "\n")


if __name__ == "__main__":
    main()
