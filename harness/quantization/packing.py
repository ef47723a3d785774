"""Quantizes a model with gptqmodel, and writes the checkpoint that transformers loads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported
from harness.models.load import head_modules
from harness.quantization.job import QuantizationJob
from harness.quantization.packed_layers import packed_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

#: What of a hub model's files quantizing takes: no second copy of the weights in another format.
NEEDED_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.py"]
HEAD_FILE = "head.safetensors"
#: Parameters from which on gptqmodel's compiled packing saves more than compiling it, about a minute, takes; both pack the same bits.
LARGE = 1_000_000_000


def pack(job: QuantizationJob, config: Any, dtype: torch.dtype, backend: str) -> None:
    """Quantizes the job's model as gptqmodel's `config` says, and fills the job's folder with the checkpoint.

    dtype: that the weights are read and searched in. backend: the kernel that packs. Notes layers that the library
    quantized in another way than asked for. Raises Unsupported where transformers would not find what is stored.
    """
    import torch
    from gptqmodel import GPTQModel

    folder = _local_folder(job)
    loadable = _loadable(folder, job.trust_remote_code)
    config.device = job.device
    wrapped = GPTQModel.load(str(folder), config, dtype=dtype, trust_remote_code=job.trust_remote_code)
    _check_names(wrapped.model, loadable)
    if wrapped.model.num_parameters() < LARGE:
        config.pack_impl = "original"
    samples = [{"input_ids": ids[None].cpu(), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)} for ids in job.samples]
    with _logs_aside():
        wrapped.quantize(
            samples or None,
            batch_size=1,  # no padding
            calibration_sort=None,  # the order that they were drawn in
            calibration_data_min_length=0,  # what is too short the calibration has told already
            backend=backend,
        )
    job.notes.extend(deviations(wrapped.quant_log, getattr(config, "damp_percent", None)))
    wrapped.save(str(job.folder))
    _describe(job, wrapped)
    _keep_head(job)


@contextmanager
def _logs_aside() -> Iterator[None]:
    """gptqmodel writes a log into `logs` of the folder that the person happens to be in; what matters of it is in `quant_log` too."""
    from gptqmodel.looper import loop_processor

    theirs = loop_processor._PROJECT_LOG_DIR
    with TemporaryDirectory() as folder:
        loop_processor._PROJECT_LOG_DIR = Path(folder)
        try:
            yield
        finally:
            loop_processor._PROJECT_LOG_DIR = theirs


def _loadable(folder: Path, trust_remote_code: bool) -> set[str]:
    """Names of the layers that transformers' loaders of GPTQ and AWQ can find. Asked before gptqmodel is, which changes transformers' classes."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return {name for name, module in model.named_modules() if type(module) in (torch.nn.Linear, Conv1D)}


def _check_names(model: PreTrainedModel, loadable: set[str]) -> None:
    """gptqmodel takes some models' fused layers apart: what is loaded then would be memory as it happens to be, without an error."""
    lost = [name for name, module in _linear_layers(model) if name not in loadable]
    if lost:
        raise Unsupported(
            f"gptqmodel would quantize {len(lost)} layers of this {model.config.model_type} model that transformers does not load "
            f"under these names: {', '.join(lost[:3])}"
        )


def _linear_layers(model: PreTrainedModel) -> Iterator[tuple[str, Any]]:
    """Linear layers that are not packed (yet), GPT-2's Conv1D among them."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return ((name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D))


def _local_folder(job: QuantizationJob) -> Path:
    """The unquantized checkpoint on disk; gptqmodel itself knows no revisions."""
    folder = Path(job.source)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(job.source, revision=job.revision, allow_patterns=NEEDED_FILES))


def deviations(log: list[dict[str, Any]], damp_percent: float | None) -> Iterator[str]:
    """What gptqmodel did otherwise than it was told, from its log: rounding to nearest in GPTQ's place, more damping. None: nothing is damped."""
    rounded = [_name(entry) for entry in log if "fallback" in str(entry.get("loss"))]
    if rounded:
        yield f"gptqmodel rounded to nearest, for want of calibration, {len(rounded)} layers: {', '.join(rounded[:3])}"
    if damp_percent is None:
        return
    damped = {_name(entry): float(entry["damp"]) for entry in log if entry.get("damp") and float(entry["damp"]) > damp_percent + 1e-6}
    if damped:
        name, most = max(damped.items(), key=lambda found: found[1])
        yield f"gptqmodel raised damp_percent from {damp_percent:g} for {len(damped)} layers, most for {name}: {most:g}"


def _name(entry: dict[str, Any]) -> str:
    return f"{entry.get('layer')}.{entry.get('module')}"


def _describe(job: QuantizationJob, wrapped: Any) -> None:
    """Completes config.json: the dtype that was asked for, the classes that the source is made for, and what loading must leave unquantized."""
    path = job.folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["dtype"] = str(job.dtype).removeprefix("torch.")
    values["architectures"] = _architectures(job)
    values["quantization_config"] |= _extent(wrapped)
    path.write_text(json.dumps(values, indent=2), encoding="utf-8")


def _architectures(job: QuantizationJob) -> list[str]:
    config = json.loads((_local_folder(job) / "config.json").read_text(encoding="utf-8"))
    return list(config.get("architectures") or [])


def _extent(wrapped: Any) -> dict[str, Any]:
    """Which modules are quantized, as transformers' loaders of GPTQ and AWQ want it said: both would take every linear layer that they find."""
    blocks: str = wrapped.extract_layers_node()[0]
    plain = [name for name, _ in _linear_layers(wrapped.model)]
    if wrapped.quantize_config.export_quant_method() == "awq":
        return {"modules_to_not_convert": plain}
    if not any(name.startswith(f"{blocks}.") for name in plain):
        return {"block_name_to_quantize": blocks}
    inside = (name.removeprefix(f"{blocks}.").partition(".")[2] for name, _ in packed_layers(wrapped.model))
    return {"block_name_to_quantize": blocks, "modules_in_block_to_quantize": [sorted(set(inside))]}


def _keep_head(job: QuantizationJob) -> None:
    """Keeps a trained task head: gptqmodel loads every model as a language model, without it."""
    if not any(name.endswith(("ForSequenceClassification", "ForQuestionAnswering")) for name in _architectures(job)):
        return
    from safetensors.torch import save_file

    model = job.load()
    if model.get_output_embeddings() is not None:
        return
    heads = ((name, model.get_submodule(name).state_dict()) for name in head_modules(model))
    save_file({f"{name}.{key}": value.cpu().contiguous() for name, head in heads for key, value in head.items()}, job.folder / HEAD_FILE)


def restore_head(model: PreTrainedModel, folder: Path) -> None:
    """Puts the task head that `pack` has kept into the loaded model; does nothing where there was none, or the model has another head."""
    from safetensors.torch import load_file

    if (folder / HEAD_FILE).is_file() and model.get_output_embeddings() is None:
        model.load_state_dict(load_file(folder / HEAD_FILE, device=str(model.device)), strict=False)
