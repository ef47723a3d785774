"""What cells of one run share on disk: written aside and renamed, so an entry is complete or absent."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.records.parts import Part
from harness.records.schema import Metric
from harness.records.sealed import Damaged, read_sealed, write_sealed


def quantized_weights_folder(shared: Path) -> Path:
    """Where a run keeps quantized weights of its own; only one that shall take none from the user's cache has it."""
    return shared / "quantized"


def weights_cache(shared: Path, cache: Path) -> Path:
    """The folder with the quantized weights that cells load: the run's own where it has any, else the user's cache."""
    return shared if quantized_weights_folder(shared).is_dir() else cache


class SharedEvaluation(Part):
    """One evaluation of an untuned model. notes: what was said of it."""

    metrics: list[Metric]
    notes: list[str]


class SharedEvaluations:
    """Evaluations before training, in <run>/shared/evaluations/, by a cell's `untuned_ids`."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "evaluations"

    def read(self, untuned_id: str) -> SharedEvaluation | None:
        """What another cell has left; None where none has. Raises Damaged where the file is not what was written."""
        try:
            return SharedEvaluation.model_validate(read_sealed(self._path(untuned_id)))
        except FileNotFoundError:
            return None
        except ValidationError as error:  # whole, and of another version of the harness
            raise Damaged(f"{untuned_id}.json is no evaluation: {error.errors()[0]['msg']}") from error

    def write(self, untuned_id: str, evaluation: SharedEvaluation) -> None:
        """Leaves the evaluation for other cells; raises StorageError."""
        write_sealed(self._path(untuned_id), evaluation.model_dump(mode="json"))

    def _path(self, untuned_id: str) -> Path:
        return self.folder / f"{untuned_id}.json"
