"""A cell's id: a hash of everything that can change its result, and of nothing else.

Labels, the order of keys, comments, other cells, where folders lie and how closely one looks are not part of it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.fields import Config
from harness.models.base import ModelConfig
from harness.models.source import local_folder, shape_file, split
from harness.quantization.base import Scheme
from harness.suite.cell import CellConfig
from harness.suite.evaluations import OWN, Evaluations
from harness.suite.fingerprints import Fingerprints
from harness.suite.settings import TrainSettings
from harness.suite.sweep import EVALUATION_SETTINGS
from harness.tasks.base import Task

#: Changed whenever the hash is taken over something else, so that old runs are told apart instead of orphaned.
#: 2: rows are drawn class by class.
IDENTITY_VERSION = 2


class Identities:
    """The identity of every part of a cell as canonical JSON, each distinct object read once.

    Raises RequestError or DataError for local files that cannot be read.
    """

    def __init__(self) -> None:
        self._fingerprints = Fingerprints()
        self._texts: dict[tuple[int, str], tuple[Config, str]] = {}

    def text(self, config: Config) -> str:
        """Every identity field of the part; for local files their content in place of their folder."""
        return self._cached(config, "whole", lambda: self._values(config))

    def evaluation_text(self, train: TrainSettings) -> str:
        """The training settings that decide how an untuned model is evaluated."""
        return self._cached(train, "evaluation", lambda: {name: getattr(train, name) for name in EVALUATION_SETTINGS})

    def _cached(self, config: Config, what: str, values: Any) -> str:
        key = (id(config), what)
        if key not in self._texts:
            self._texts[key] = (config, canonical(values()))  # the object is kept, so that its id() stays its own
        return self._texts[key][1]

    def _values(self, config: Config) -> dict[str, Any]:
        if isinstance(config, ModelConfig):
            return config.identity() | self._model_content(config)
        if isinstance(config, Task):
            return config.identity() | self._data_content(config)
        if isinstance(config, Evaluations):
            return {"own": config.own, "others": [self._values(other.task) for other in config.others]}
        if isinstance(config, Scheme):
            return config.identity() | self._scheme_content(config)
        return config.identity()

    def _model_content(self, config: ModelConfig) -> dict[str, Any]:
        kind, name = split(config.source)
        if kind == "random":
            return {"source": kind, "content": self._fingerprints.file(shape_file(name))}
        folder = local_folder(config)
        return {} if folder is None else {"source": kind, "content": self._fingerprints.model(folder)}

    def _data_content(self, task: Task) -> dict[str, Any]:
        files = task.local_files()
        if not files:
            return {}
        data = "folder" if Path(task.data).is_absolute() else task.data
        return {"data": data, "content": self._fingerprints.files(files)}

    def _scheme_content(self, scheme: Scheme) -> dict[str, Any]:
        files = scheme.local_files()
        return {"content": self._fingerprints.files(files)} if files else {}


def cell_id(config: CellConfig, seed: int, identities: Identities) -> str:
    """`c2-` and 16 hexadecimal digits; a cell that trains nothing is not told apart by training settings."""
    train = identities.text(config.train) if config.method.tunes else identities.evaluation_text(config.train)
    parts = {name: identities.text(getattr(config, name)) for name in ("model", "scheme", "method", "task", "measure", "limits")}
    if config.evaluations != OWN:  # came later: cells that evaluate their own task keep their ids
        parts["evaluations"] = identities.text(config.evaluations)
    return _digest("c", parts | _determinism(config) | {"train": train, "seed": str(seed)})


def untuned_id(config: CellConfig, evaluated: Task, seed: int | None, identities: Identities) -> str:
    """The id of an evaluation before training, `u2-` and 16 digits. seed: None where the head is not random.

    A model that is quantized after tuning is not quantized yet: it shares the evaluation with cells that do not quantize.
    """
    parts = {name: identities.text(part) for name, part in (("model", config.model), ("scheme", config.scheme.while_tuning), ("task", evaluated))}
    return _digest("u", parts | _determinism(config) | {"train": identities.evaluation_text(config.train), "seed": str(seed)})


def _determinism(config: CellConfig) -> dict[str, str]:
    """Other algorithms, other roundings; it came later, so cells without it keep their ids."""
    return {"deterministic": canonical(True)} if config.deterministic else {}


def is_current(id_: str) -> bool:
    """Whether an id was made as ids are now; cells of another version have other ids, whatever they are."""
    return id_[1:].startswith(f"{IDENTITY_VERSION}-")


def canonical(values: Any) -> str:
    """JSON in one way only: keys sorted, no spaces, 1.0 written as 1 (a field's type decides what it means)."""
    return json.dumps(_normal(values), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _normal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digest(letter: str, parts: dict[str, str]) -> str:
    text = canonical({"version": IDENTITY_VERSION} | parts)
    return f"{letter}{IDENTITY_VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
