"""Loads a model with the head that a task needs, its weights stored as a scheme says, and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, Unsupported
from harness.models.base import ModelConfig
from harness.models.chatglm import is_chatglm
from harness.models.chatglm_checkpoint import converted, tokenizer_from_code
from harness.models.facts import facts_of
from harness.models.hub import WEIGHTS, settings, with_weights
from harness.models.source import local_folder, split
from harness.needs import ModelFacts
from harness.quantization.base import Scheme
from harness.quantization.layer_by_layer import LayerByLayer
from harness.tasks.base import Head

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(config: ModelConfig, cache: Path) -> PreTrainedTokenizerBase:
    """The model's tokenizer, as its author made it; raises HarnessError."""
    from transformers import AutoTokenizer

    place, revision = _settings_place(config, cache)
    if _is_chatglm(config) and not (Path(place) / "tokenizer.json").is_file():
        return tokenizer_from_code(config, str(_stored(config, weights=False)), None)
    try:
        return AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=config.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _clear(config, "tokenizer", error) from error


def load_facts(config: ModelConfig, cache: Path) -> ModelFacts:
    """The model's facts, its config.json downloaded where it is a hub model; raises HarnessError."""
    from transformers import AutoConfig

    place, revision = _settings_place(config, cache)
    try:
        loaded = AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=config.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _clear(config, "configuration", error) from error
    return facts_of(loaded.to_dict())


def load_model(config: ModelConfig, head: Head, scheme: Scheme, device: str, cache: Path) -> PreTrainedModel:
    """The model on `device` (`cpu`, `cuda`), in eval mode, weights as `scheme` stores them.

    A new task head is initialised from torch's global seed. Raises HarnessError that says what is
    missing (weights, safetensors, network), Unsupported where the architecture has no such head.
    """
    return load_telling_drawn(config, head, scheme, device, cache)[0]


def load_telling_drawn(
    config: ModelConfig, head: Head, scheme: Scheme, device: str, cache: Path
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model as `load_model` gives it, and the names of its parameters that the checkpoint lacks: those of a new head."""
    from pickle import UnpicklingError

    import torch
    from safetensors import SafetensorError

    place, revision = weights_place(config, cache)
    arguments: dict[str, Any] = {
        "revision": revision,
        "dtype": _dtype(config),
        "trust_remote_code": config.trust_remote_code,
        "use_safetensors": None if config.allow_pickle else True,
        **head_arguments(head),
    }
    if config.attn_implementation is not None:
        arguments["attn_implementation"] = config.attn_implementation
    if scheme.quantizes:
        skeleton = _skeleton(config, head, place, revision)
        dtype = skeleton.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
        scheme = scheme.for_checkpoint(facts_of(skeleton.config.to_dict()).prequantized)
        quantization_config = scheme.quantization_config(dtype, _behind_base(skeleton, head))
        if quantization_config is not None:
            arguments["quantization_config"] = quantization_config
    if not isinstance(scheme, LayerByLayer) and (scheme.quantizes or device != "cpu"):
        arguments["device_map"] = {"": device}
    try:
        model, info = auto_class(head).from_pretrained(place, output_loading_info=True, **arguments)
    except UnpicklingError as error:
        raise HarnessError(f"{config.source}: a pickle among its weights holds more than tensors, which loading would run: it was refused") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise _clear(config, "model", error) from error
    _refuse_a_random_base(model, info["missing_keys"], config)
    kind, name = split(config.source)
    if kind == "hub":
        model.name_or_path = model.config.name_or_path = name  # not the folder of this machine, where adapters say what they belong to
    if isinstance(scheme, LayerByLayer):
        scheme.quantize_layers(model, _behind_base(model, head), device)
    scheme.settle(model)
    model.eval()
    return model, tuple(sorted(info["missing_keys"]))


def draw_again(model: PreTrainedModel, drawn: Collection[str]) -> None:
    """Initialises those parameters of a loaded model from torch's global seed, as loading does with what a checkpoint lacks."""
    owners = {name.rpartition(".")[0] for name in drawn}
    for name, module in model.named_modules():
        if name in owners:
            for parameter, values in module.named_parameters(prefix=name, recurse=False):
                values._is_hf_initialized = parameter not in drawn  # transformers' own mark, by which it leaves alone what was loaded
            model._init_weights(module)


def dtype_of(config: ModelConfig, head: Head, cache: Path) -> torch.dtype:
    """The dtype of the model's weights that are not quantized."""
    place, revision = weights_place(config, cache)
    dtype = _dtype(config)
    return _skeleton(config, head, place, revision).dtype if dtype == "auto" else dtype


def head_modules(model: PreTrainedModel) -> list[str]:
    """Names of the top-level modules with weights outside the base of a model with a new head: `classifier`, `score`, `qa_outputs`, ..."""
    return [
        name for name, child in model.named_children() if name != model.base_model_prefix and any(True for _ in child.parameters())
    ]


def auto_class(head: Head) -> Any:
    """transformers' AutoModelFor... class that ends in this head; raises Unsupported."""
    import transformers

    classes = {
        "causal-lm": transformers.AutoModelForCausalLM,
        "seq2seq-lm": transformers.AutoModelForSeq2SeqLM,
        "sequence-classification": transformers.AutoModelForSequenceClassification,
        "question-answering": transformers.AutoModelForQuestionAnswering,
    }
    if head.kind not in classes:
        raise Unsupported(f"no loader for the head {head.kind!r}; known: {', '.join(classes)}")
    return classes[head.kind]


def head_arguments(head: Head) -> dict[str, Any]:
    """What a configuration gets for this head."""
    if not head.new:
        return {}
    return {"num_labels": head.labels, "problem_type": head.problem_type}


def weights_place(config: ModelConfig, cache: Path) -> tuple[str, str | None]:
    """What from_pretrained gets: a folder or a hub name, and the revision. A ChatGLM checkpoint is rewritten as a GLM one first.

    Raises HarnessError where that cannot be done.
    """
    kind, name = split(config.source)
    if kind == "random":
        from harness.models.random_weights import materialise

        return str(materialise(name, config, cache)), None
    source = _stored(config, weights=True)
    if _is_chatglm(config):
        return str(converted(config, source, cache)), None
    if kind == "hub" and not any(file for pattern in WEIGHTS for file in source.glob(pattern)):
        return name, config.revision or "main"  # transformers asks the hub to convert pickles
    return str(source), None


def _settings_place(config: ModelConfig, cache: Path) -> tuple[str, str | None]:
    """As `weights_place`, for what needs no weights: those of a hub model are not downloaded for it."""
    if split(config.source)[0] == "hub" and not _is_chatglm(config):
        return str(_stored(config, weights=False)), None
    return weights_place(config, cache)


def _stored(config: ModelConfig, weights: bool) -> Path:
    """The folder with what the model's author has put there, downloaded where it is on the hub; not for `random:`."""
    kind, name = split(config.source)
    if kind != "hub":
        folder = local_folder(config)
        assert folder is not None, "random: has been seen to"
        return folder
    try:
        if weights:
            return with_weights(name, config.revision, config.trust_remote_code, config.allow_pickle)
        return settings(name, config.revision, config.trust_remote_code)
    except (OSError, ValueError) as error:
        raise _clear(config, "files", error) from error


def _is_chatglm(config: ModelConfig) -> bool:
    """Whether the model's config.json, downloaded where it is not there yet, is that of a ChatGLM checkpoint."""
    if split(config.source)[0] == "random":
        return False
    try:
        return is_chatglm(json.loads((_stored(config, weights=False) / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise _clear(config, "configuration", error) from error


def _refuse_a_random_base(model: PreTrainedModel, missing: Collection[str], config: ModelConfig) -> None:
    """transformers 5.23 looks for a Llama under a span head where no checkpoint has it, and then draws all of it at random."""
    base = [name for name, _ in model.named_parameters() if name.startswith(f"{model.base_model_prefix}.")]
    if base and set(base) <= set(missing):
        raise Unsupported(f"transformers' {type(model).__name__} finds none of the weights below its head in {config.source}")


def _dtype(config: ModelConfig) -> Any:
    import torch

    return "auto" if config.dtype == "auto" else getattr(torch, config.dtype)


def _skeleton(config: ModelConfig, head: Head, place: str, revision: str | None) -> PreTrainedModel:
    """The model without weights (on the meta device), to learn its modules' names and its dtype before loading it."""
    import torch
    from transformers import AutoConfig

    loaded = AutoConfig.from_pretrained(
        place, revision=revision, trust_remote_code=config.trust_remote_code, **head_arguments(head)
    )
    with torch.device("meta"):
        return auto_class(head).from_config(loaded, trust_remote_code=config.trust_remote_code)


def _behind_base(model: PreTrainedModel, head: Head) -> list[str]:
    """Names of the modules that turn hidden states into answers: the task head, or the output embeddings."""
    if head.new:
        return head_modules(model)
    output = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if output is not None and module is output]


def _clear(config: ModelConfig, what: str, error: Exception) -> HarnessError:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text:
        return Unsupported(f"{config.source} carries Python code of its own; set trust_remote_code: true on the model if you trust its author")
    if "Unrecognized configuration class" in text:
        return Unsupported(f"{config.source} has no such head in transformers: {text[:200]}")
    if "safetensors" in text and "does not appear to have" in text:
        return HarnessError(f"{config.source} has no safetensors weights; set allow_pickle: true on the model if you trust its author ({text[:300]})")
    return HarnessError(f"cannot load the {what} of {config.source}: {text[:500]}")
