"""What decides how a cell's quantized weights come out: the subject of the cache's entry."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

from harness.models.facts import config_file
from harness.models.source import split
from harness.quantization.cache_entry import Subject, Title
from harness.suite.identity import Identities, canonical

if TYPE_CHECKING:
    from harness.models.base import ModelConfig
    from harness.quantization.base import StoredScheme
    from harness.runs.cell import Life

ALWAYS = ("torch", "transformers")  # a patch release of these does not change how weights are rounded


def pinned(model: ModelConfig) -> ModelConfig:
    """A hub model at the commit that its revision stands for now, its config.json having been downloaded; others as they are."""
    if split(model.source)[0] != "hub":
        return model
    path = config_file(model)
    assert path is not None, "load.describe has downloaded it"
    return model.model_copy(update={"revision": path.parent.name})  # .../snapshots/<commit>/config.json


def subject_of(life: Life, scheme: StoredScheme) -> Subject:
    """Model content, scheme and calibration content, head, device, and the versions of what quantizes.

    Raises RequestError or DataError for local files that cannot be read.
    """
    assert life.head is not None, "load.describe comes first"
    identities, calibration = Identities(), scheme.calibrated_on
    on_task = calibration is not None and calibration.set == "task"
    versions = {name: version(name) for name in scheme.libraries} | {name: _minor(version(name)) for name in ALWAYS}
    return Subject(
        model=identities.text(pinned(life.cell.config.model)),
        scheme=identities.text(_as_stored(scheme)),
        recipe=scheme.recipe,
        head=canonical(asdict(life.head)),
        task=identities.text(life.cell.config.task) if on_task else None,
        device=life.device,
        versions=dict(sorted(versions.items())),
        deterministic=life.cell.config.deterministic,
    )


def title_of(model: ModelConfig, scheme: StoredScheme) -> Title:
    """What a person calls the quantized model."""
    return Title(model=model.source, revision=model.revision, scheme=scheme.scheme, fields=scheme.model_dump(mode="json"))


def _as_stored(scheme: StoredScheme) -> StoredScheme:
    """The scheme without what only loading asks for."""
    fields = type(scheme).model_fields
    return scheme.model_copy(update={name: fields[name].get_default(call_default_factory=True) for name in scheme.loading_fields})


def _minor(version: str) -> str:
    return ".".join(version.split("+")[0].split(".")[:2])
