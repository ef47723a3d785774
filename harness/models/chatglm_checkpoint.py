"""A ChatGLM checkpoint rewritten once as a GLM one, in the cache; from there on it is a model folder like any other.

    <cache>/chatglm/<key>/            config.json, model-0000n-of-0000m.safetensors, their index, the tokenizer's files if it is no code
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, StorageError, Unsupported
from harness.models.base import ModelConfig
from harness.models.chatglm import native_values, native_weights
from harness.models.kept_folder import kept_folder

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

FOLDER = "chatglm"  # of the cache
LAYOUT = 1  # of the rewritten folder: another translation is another entry
TOKENIZER = ("tokenizer.json", "special_tokens_map.json")
CODE_VERSIONS = "its tokenizer's code (tokenization_chatglm.py) was written for transformers 4.30 and, as published, fails from 4.45 on (`_pad` lacks padding_side); it needs sentencepiece"
NAMED = 5  # keys in an error


def converted(config: ModelConfig, source: Path, cache: Path) -> Path:
    """The folder of the GLM checkpoint with the weights of the ChatGLM checkpoint in `source`; complete or absent, never half.

    Raises RequestError for a configuration that has no counterpart, HarnessError that names missing and unexpected weights,
    StorageError where the disk has no room.
    """
    values = json.loads((source / "config.json").read_text(encoding="utf-8"))
    native = native_values(values, config.source)
    shards = _shards(source, config)
    folder = cache / FOLDER / _key(source, values, shards)

    def rewrite(aside: Path) -> None:
        _check_room(aside, shards)
        _write(config, native, shards, aside)
        _copy_tokenizer(source, aside)

    return kept_folder(folder, rewrite)


def rewritten(cache: Path) -> dict[Path, int]:
    """The folders of all checkpoints that were rewritten into that cache, and how many bytes each takes; the newest first."""
    folders = [folder for folder in (cache / FOLDER).glob("[!.]*") if folder.is_dir()]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    return {folder: sum(path.stat().st_size for path in folder.iterdir()) for folder in folders}


def tokenizer_from_code(config: ModelConfig, place: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer as the checkpoint's own Python code builds it, tried once; raises Unsupported where it may not run, or cannot.

    The nine tokens behind its vocabulary and the `[gMASK] sop` in front of every text are in that code alone: what transformers
    makes of tokenizer.model by itself is another tokenizer.
    """
    from transformers import AutoTokenizer

    here = f"{config.source} has no tokenizer.json: {CODE_VERSIONS}"
    if not config.trust_remote_code:
        raise Unsupported(f"{here}. Put a tokenizer.json beside the weights, or set trust_remote_code: true on the model if you trust its author")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=True)
        tokenizer(["1", "1 2 3"], padding=True)
    except (OSError, ValueError, TypeError, AttributeError, ImportError, NotImplementedError, KeyError) as error:
        raise Unsupported(f"{here}. Here it fails with {type(error).__name__}: {' '.join(str(error).split())[:200]}. Put a tokenizer.json beside the weights") from error
    return tokenizer


def _shards(source: Path, config: ModelConfig) -> list[Path]:
    for index, pattern in (("model.safetensors.index.json", "*.safetensors"), ("pytorch_model.bin.index.json", "*.bin")):
        shards = sorted(source.glob(pattern))
        if not shards:
            continue
        if pattern == "*.bin" and not config.allow_pickle:
            break
        if (source / index).is_file():
            named = set(json.loads((source / index).read_text(encoding="utf-8"))["weight_map"].values())
            absent = sorted(named - {shard.name for shard in shards})
            if absent:
                raise HarnessError(f"{config.source} lacks {', '.join(absent[:NAMED])}, which {index} names")
            shards = [shard for shard in shards if shard.name in named]
        return shards
    raise HarnessError(f"{config.source} has no safetensors weights; set allow_pickle: true on the model if it has .bin files and you trust their author")


def _key(source: Path, values: dict[str, Any], shards: list[Path]) -> str:
    """What the folder was rewritten from: settings, and every file by its place, size and time (the hub's cache names files by content)."""
    files = [path.resolve() for path in [*shards, *(source / name for name in (*TOKENIZER, "tokenizer_config.json", "generation_config.json"))] if path.is_file()]
    seen = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([LAYOUT, values, seen], sort_keys=True).encode()).hexdigest()[:16]


def _check_room(folder: Path, shards: list[Path]) -> None:
    needed, free = sum(shard.stat().st_size for shard in shards), shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(f"cannot rewrite the checkpoint into {folder}: it needs {needed:,} bytes, {free:,} are free")


def _write(config: ModelConfig, native: dict[str, Any], shards: list[Path], folder: Path) -> None:
    """One shard of GLM's tensors for each of ChatGLM's, so that no more than one is in memory."""
    from safetensors.torch import save_file

    expected = _expected(native)
    places: dict[str, str] = {}
    wrong: list[str] = []
    for number, shard in enumerate(shards, 1):
        file, weights = f"model-{number:05}-of-{len(shards):05}.safetensors", {}
        for name, tensor in _tensors(shard, config):
            try:
                found = native_weights(name, tensor, native)
            except ValueError as error:
                raise HarnessError(f"{config.source}: {error}") from error
            if found is None or any(part not in expected for part in found) or any(part in places for part in found):
                wrong.append(name)
                continue
            for part, values in found.items():
                if tuple(values.shape) != expected[part]:
                    raise HarnessError(f"{config.source}: {name} is of shape {tuple(values.shape)}, its config.json makes it {expected[part]}")
                places[part], weights[part] = file, values.contiguous()
        save_file(weights, folder / file, metadata={"format": "pt"})
    missing = sorted(set(expected) - set(places))
    if wrong or missing:
        raise HarnessError(f"{config.source} is not the checkpoint that its config.json describes: {_named('unexpected', wrong)}; {_named('missing (in GLM names)', missing)}")
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(native, indent=1) + "\n", encoding="utf-8")


def _named(what: str, names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}: {', '.join(names[:NAMED]) or 'none'}{more}"


def _expected(native: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the GLM model's weights."""
    import torch
    from transformers import GlmConfig, GlmForCausalLM

    settings = {name: value for name, value in native.items() if name != "model_type"}
    with torch.device("meta"):
        model = GlmForCausalLM(GlmConfig(**settings))
    return {name: tuple(values.shape) for name, values in model.state_dict().items()}


def _tensors(shard: Path, config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    import pickle

    import torch
    from safetensors import SafetensorError, safe_open

    try:
        if shard.suffix == ".bin":
            yield from torch.load(shard, map_location="cpu", weights_only=True).items()
            return
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_tensor(name)
    except (SafetensorError, pickle.UnpicklingError, OSError, EOFError) as error:
        raise HarnessError(f"cannot read {shard.name} of {config.source}: {' '.join(str(error).split())[:300]}") from error


def _copy_tokenizer(source: Path, folder: Path) -> None:
    """A tokenizer.json and what belongs to it, its settings without the class that is code of the checkpoint."""
    if (source / "generation_config.json").is_file():
        shutil.copyfile(source / "generation_config.json", folder / "generation_config.json")
    if not (source / "tokenizer.json").is_file():
        return
    for name in TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    settings = source / "tokenizer_config.json"
    if settings.is_file():
        values = {name: value for name, value in json.loads(settings.read_text(encoding="utf-8")).items() if name not in ("auto_map", "tokenizer_class")}
        (folder / settings.name).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
