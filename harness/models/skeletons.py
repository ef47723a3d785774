"""Anatomies of models that are not loaded: a process of its own builds them without weights, and the cache keeps them.

The plan imports no torch, and a model of any size is built on the meta device in a second, so one process a suite
is asked for every model whose sizes the plan needs.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, StorageError
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.models.facts import config_file, config_values
from harness.models.families import FAMILIES
from harness.records.sealed import Damaged, read_sealed, write_sealed
from harness.tasks.base import Head

LAYOUT = 1  # of the cached files


def anatomies(wanted: Sequence[tuple[ModelConfig, Head]], cache: Path) -> list[Anatomy | str | None]:
    """The anatomy of every model with its head, in order; None for a hub model that has not been downloaded yet, text,
    transformers' words, for a configuration that it cannot build.

    Raises HarnessError where the process that builds them dies.
    """
    requests = [_request(config, head) for config, head in wanted]
    files = [None if request is None else cache / "anatomy" / f"{_key(request)}.json" for request in requests]
    found: dict[Path, Anatomy | str] = {}
    missing: dict[Path, dict[str, Any]] = {}
    for file, request in zip(files, requests, strict=True):
        if file is None or request is None or file in found:
            continue
        kept = _kept(file)
        if kept is None:
            missing[file] = request
        else:
            found[file] = kept
    for file, values in zip(missing, _built(list(missing.values())) if missing else [], strict=True):
        if "error" in values:
            found[file] = values["error"]
            continue
        found[file] = Anatomy.from_json(values)
        _keep(file, values)
    return [None if file is None else found[file] for file in files]


def _kept(file: Path) -> Anatomy | None:
    """The anatomy that the cache has; None where it has none, or one that is damaged."""
    try:
        return Anatomy.from_json(read_sealed(file))
    except (FileNotFoundError, Damaged):
        return None


def _keep(file: Path, values: dict[str, Any]) -> None:
    with suppress(StorageError):  # a cache that is not ours to write serves as well: the model is built again the next time
        write_sealed(file, values)


def _request(config: ModelConfig, head: Head) -> dict[str, Any] | None:
    path = config_file(config)
    if path is None:
        return None
    return {"config": str(path), "head": asdict(head), "trust_remote_code": config.trust_remote_code}


def _key(request: dict[str, Any]) -> str:
    content = config_values(Path(request["config"]))
    family = repr(FAMILIES.get(content["model_type"]))  # its parts are in the anatomy
    return hashlib.sha256(json.dumps([LAYOUT, version("transformers"), family, content, request["head"]]).encode()).hexdigest()[:16]


def _built(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "harness.models.skeletons"], input=json.dumps(requests), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = re.split(r"\n(?=[\w.]*Error: )", done.stderr)[-1]  # of a traceback, what it ends with
        raise HarnessError(f"cannot size the models of this suite: {' '.join(words.split())[:400]}")
    built: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return built


def _anatomy(request: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    from harness.models.dissect import anatomy_of
    from harness.models.load import auto_class, head_arguments, head_modules

    head = Head(**request["head"])
    values = config_values(Path(request["config"]))
    if request["trust_remote_code"] and "auto_map" in values:
        config = transformers.AutoConfig.from_pretrained(Path(request["config"]).parent, trust_remote_code=True, **head_arguments(head))
    else:
        known = {name: value for name, value in values.items() if name not in ("model_type", "transformers_version", "quantization_config")}
        config = transformers.AutoConfig.for_model(values["model_type"], **(known | head_arguments(head)))
    with torch.device("meta"):
        model = auto_class(head).from_config(config, trust_remote_code=request["trust_remote_code"])
    return anatomy_of(model, head_modules(model) if head.new else []).to_json()


def _anatomy_or_error(request: dict[str, Any]) -> dict[str, Any]:
    """One model that cannot be built must not keep the others of the suite from being sized."""
    try:
        return _anatomy(request)
    except (HarnessError, ValueError, KeyError, OSError, ImportError) as error:
        return {"error": f"transformers cannot build the model: {' '.join(str(error).split())[:300]}"}


def main() -> None:
    """Requests as a JSON list on standard input, anatomies as one line of JSON on standard output."""
    print(json.dumps([_anatomy_or_error(request) for request in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
