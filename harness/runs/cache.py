"""What cells of one run share on disk: written aside and renamed, so an entry is complete or absent."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.records.schema import Metric
from harness.records.store import write_atomically

_METRICS = TypeAdapter(list[Metric])


class SharedEvaluations:
    """Evaluations before training, in <run>/shared/evaluations/, by the cell's `untuned_id`."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "evaluations"

    def read(self, untuned_id: str) -> list[Metric] | None:
        """The metrics that another cell has left; None where none has, or where the file is damaged."""
        try:
            return _METRICS.validate_json(self._path(untuned_id).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, untuned_id: str, metrics: list[Metric]) -> None:
        """Leaves the metrics for other cells; raises StorageError."""
        write_atomically(self._path(untuned_id), _METRICS.dump_json(metrics, indent=1).decode() + "\n")

    def _path(self, untuned_id: str) -> Path:
        return self.folder / f"{untuned_id}.json"
