"""Which texts a scheme looks at while it quantizes. Plain values, no torch: reading and tokenizing them is `calibration_texts`' work."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.fields import Config, identity

CalibrationSet = Literal["wikitext2", "c4", "c4-new", "ptb", "ptb-new", "task", "micro", "file", "texts"]


class Calibration(Config):
    """Texts, how many samples are drawn of them, how long each is, and the seed of the draw. Part of the cell's identity and of the cache's key."""

    set: CalibrationSet = identity(
        "c4", description="a named set; `task`: the task's own training split; `micro`: the embedded corpus; `file`: a local text or jsonl file; `texts`: those given"
    )
    file: str | None = identity(None, description="for `file`: a .txt (a sample a line) or .jsonl (key `text`), relative to the suite")
    texts: list[str] | None = identity(None, description="for `texts`: the texts themselves")
    data: str = identity("hub", description="`hub`, or a folder that holds the named set's files")
    samples: int = identity(128, ge=1, description="number of samples")
    length: int = identity(2048, ge=1, description="tokens of a sample, at most the model's context")
    seed: int = identity(0, description="of the draw")

    def local_files(self) -> list[Path]:
        """Files whose content decides the samples. Raises DataError for what is missing or empty."""
        raise NotImplementedError
