"""Which texts a scheme looks at while it quantizes. Plain values, no torch: reading and tokenizing them is `calibration_samples`' work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from harness.errors import DataError
from harness.fields import Config, identity
from harness.quantization.calibration_sets import MICRO, NAMED, TRAIN
from harness.tasks.rows.source import Source

CalibrationSet = Literal["wikitext2", "c4", "c4-new", "ptb", "ptb-new", "task", "micro", "file", "texts"]
FORMATS = (".txt", ".jsonl")
HUB = "hub"


class Calibration(Config):
    """Texts, how many samples are drawn of them, how long each is, and the seed of the draw. Part of the cell's identity
    and of the cache's key. Source of the named sets: Frantar et al. 2022 (GPTQ) and its code; see docs/calibration.md."""

    set: CalibrationSet = identity(
        "c4",
        description="a named set; `task`: the task's own training split; `micro`: the embedded corpus; `file`: a local text or jsonl "
        "file; `texts`: those given. Giving `file` or `texts` says it already",
    )
    file: str | None = identity(None, description="for `file`: a .txt (a sample a line) or .jsonl (key `text`), relative to the suite")
    texts: list[str] | None = identity(None, description="for `texts`: the texts themselves, a sample each")
    data: str = identity(HUB, description="where a named set is: `hub`, or a folder with its train split (train.parquet, train.jsonl ...), relative to the suite")
    samples: int = identity(128, ge=1, description="number of samples")
    length: int = identity(2048, ge=1, description="tokens of a sample, at most the model's context")
    seed: int = identity(0, ge=0, description="of the draw, and of what else is random while quantizing")

    @model_validator(mode="before")
    @classmethod
    def _own_texts_say_which_set(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "set" in values:
            return values
        given = [name for name in ("file", "texts") if values.get(name) is not None]
        return values | {"set": given[0]} if given else values

    @model_validator(mode="after")
    def _fields_go_together(self) -> Calibration:
        for name in ("file", "texts"):
            given = getattr(self, name) is not None
            if given and self.set != name:
                raise ValueError(f"{name} is given, but the set is {self.set}: give one of them, {name} or set: {self.set}")
            if not given and self.set == name:
                raise ValueError(f"the set is {name}, but {name} is not given")
        if self.data != HUB and self.set not in NAMED:
            raise ValueError(f"data is where a named set is ({', '.join(NAMED)}), but the set is {self.set}: leave data out")
        if self.file is not None and Path(self.file).suffix.lower() not in FORMATS:
            raise ValueError(f"a calibration file is a .txt with a sample a line, or a .jsonl with the key text; found {self.file}")
        if self.texts is not None and not any(text.strip() for text in self.texts):
            raise ValueError("texts holds no text: give at least one that is not blank")
        return self

    def identity(self) -> dict[str, Any]:
        """Every field, without where things lie: the content of `local_files` is hashed in its place."""
        places = {"file": None if self.file is None else Path(self.file).suffix.lower(), "data": HUB if self.data == HUB else "folder"}
        return super().identity() | places

    def source(self) -> Source | None:
        """Where the rows of a named or the micro set come from; None for the other sets."""
        if self.set == "micro":
            return Source(MICRO.dataset, "micro")
        if self.set in NAMED:
            return Source(NAMED[self.set].dataset, self.data, NAMED[self.set].revision)
        return None

    def local_files(self) -> list[Path]:
        """Files whose content decides the samples. Raises DataError for what is missing, unreadable or empty; cheap: no more than
        a first row is read."""
        if self.file is not None:
            path = Path(os.path.expanduser(self.file))
            _check_file(path)
            return [path]
        source = self.source()
        if source is None:
            return []
        source.check(TRAIN)
        return source.files(TRAIN)


def _check_file(path: Path) -> None:
    if os.path.isdir(path):
        raise DataError(f"calibration file {path} is a folder; expected a .txt with a sample a line, or a .jsonl with the key text")
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise DataError(f"calibration file {path} is no regular file")  # a pipe would be waited for
        with path.open(encoding="utf-8-sig") as file:
            empty = not any(line.strip() for line in file)
    except FileNotFoundError:
        raise DataError(f"calibration file {path} is not there; it is looked for relative to the suite file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"calibration file {path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"calibration file {path} cannot be read: {error.strerror or error}") from error
    if empty:
        raise DataError(f"calibration file {path} is empty: it needs at least one text")
