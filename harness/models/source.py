"""Where a model comes from: the scheme in front of the colon, and the local folder behind it where there is one."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import RequestError, UnknownName
from harness.models.base import ModelConfig

KINDS = ("hub", "path", "micro", "random")
SHAPES = Path(__file__).parent / "shapes"


def split(source: str) -> tuple[str, str]:
    """(kind, name) of a source such as `hub:FacebookAI/roberta-large`; raises RequestError for no or another kind."""
    kind, colon, name = source.partition(":")
    if not colon or not name or kind not in KINDS:
        raise RequestError(f"a model source is hub:<owner>/<name>, path:<folder>, micro:<name> or random:<shape>; found {source!r}")
    return kind, name


def local_folder(config: ModelConfig) -> Path | None:
    """The folder with config.json and weights, for `path:` and `micro:`; None for `hub:` and `random:`.

    Raises RequestError for a folder that is not there, has no config.json or no weights, UnknownName for an
    unknown micro model.
    """
    kind, name = split(config.source)
    if kind == "micro":
        from harness.micro import model_path

        return model_path(name)
    if kind != "path":
        return None
    folder = Path(os.path.expanduser(name))
    _check_model_folder(folder, config.allow_pickle)
    return folder


def shape_file(name: str) -> Path:
    """The config.json of `random:<name>`: a shape that ships with the package, or of a folder that has one.

    Raises UnknownName with the nearest shape.
    """
    shipped = SHAPES / f"{name}.json"
    if os.path.isfile(shipped) and shipped.parent == SHAPES:
        return shipped
    own = Path(os.path.expanduser(name)) / "config.json"
    if os.path.isfile(own):
        return own
    raise UnknownName("model shape (nor is it a folder with a config.json)", name, shapes())


def shapes() -> list[str]:
    """Names of the shapes that ship with the package."""
    return sorted(path.stem for path in SHAPES.glob("*.json"))


def _check_model_folder(folder: Path, allow_pickle: bool) -> None:
    if not os.path.isdir(folder):
        raise RequestError(f"model folder {folder} is not there")
    if not os.path.isfile(folder / "config.json"):
        raise RequestError(f"model folder {folder} has no config.json")
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles and not allow_pickle:
        raise RequestError(
            f"model folder {folder} has pickled weights only ({pickles[0]}): loading them can run code; "
            "convert them to safetensors, or set allow_pickle: true on the model if you trust their author"
        )
    if not pickles:
        raise RequestError(f"model folder {folder} has no weights: expected *.safetensors")


def cache_folder() -> Path:
    """Where what is made of models is kept between runs: $HARNESS_CACHE, else ~/.cache/harness."""
    return Path(os.environ.get("HARNESS_CACHE") or Path.home() / ".cache" / "harness")
