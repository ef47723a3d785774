"""Quantize: the weights of a stored scheme, once per model, scheme and calibration; every later cell loads them."""

from __future__ import annotations

import copy
import gc
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.measure import torch_memory
from harness.measure.host import HostPeak
from harness.models.load import dtype_of, load_telling_drawn, weights_place
from harness.quantization.base import SCHEMES, StoredScheme
from harness.quantization.cache import Quantized, QuantizedCache
from harness.quantization.calibration_samples import draw_samples
from harness.quantization.job import QuantizationJob
from harness.records.parts import PeakSource
from harness.records.refusals import disk_refusals_told
from harness.records.schema import QuantizationCost
from harness.records.sealed import Damaged
from harness.runs.cache import weights_cache
from harness.runs.events import ResultSoFar
from harness.runs.quantized_subject import pinned, subject_of, title_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.models.base import ModelConfig
    from harness.runs.cell import Life

UNQUANTIZED = "none"
HEARTBEAT_SECONDS = 30.0


def due(life: Life) -> bool:
    """Whether the cell's weights are to be quantized first: the scheme stores them, and the cache has none. Else takes the cache's."""
    scheme = life.cell.config.scheme.while_tuning
    if not isinstance(scheme, StoredScheme):
        return False
    key = subject_of(life, scheme).key()
    try:
        life.quantized = _cache(life).find(key)
    except Damaged as damage:
        life.result.notes.append(f"the quantized weights in the cache were damaged ({key}: {damage}) and were quantized anew")
    if life.quantized is None:
        return True
    life.result.notes.extend(life.quantized.notes)
    return False


def run(life: Life) -> None:
    """Quantizes the cell's model into the cache, or waits for another process that does. Raises StorageError where the disk refuses."""
    scheme = life.cell.config.scheme.while_tuning
    assert isinstance(scheme, StoredScheme), "due says so"
    model = pinned(life.cell.config.model)
    patience = _Patience(life)
    life.quantized = _cache(life).made(
        title_of(model, scheme), subject_of(life, scheme), lambda folder: _quantized(life, scheme, model, folder), patience.wait
    )
    patience.end()
    life.result.notes.extend(life.quantized.notes)


def _cache(life: Life) -> QuantizedCache:
    return QuantizedCache(weights_cache(life.shared.folder.parent, life.cache))


def ready(life: Life) -> Quantized:
    """The cell's quantized weights; `run` or `due` has seen to them."""
    assert life.quantized is not None, "quantize comes first"
    return life.quantized


def uncached(life: Life, scheme: StoredScheme, source_folder: Path, folder: Path) -> Quantized:
    """Quantizes the checkpoint in `source_folder`, a tuned model of this cell that no other cell has, into `folder`, which is made and must be empty.

    Raises StorageError where the disk refuses.
    """
    model = life.cell.config.model.model_copy(update={"source": f"path:{source_folder}", "revision": None})
    with disk_refusals_told("quantized weights", folder):
        folder.mkdir(parents=True, exist_ok=True)
        quantized = _quantized(life, scheme, model, folder)
    life.result.notes.extend(note for note in quantized.notes if note not in life.result.notes)
    return quantized


def _quantized(life: Life, scheme: StoredScheme, model: ModelConfig, folder: Path) -> Quantized:
    """Has the scheme quantize the model into `folder`, and measures it: calibration texts are read before the clock starts."""
    from transformers import set_seed

    assert life.head is not None, "load.describe comes first"
    assert life.facts is not None, "load.describe comes first"
    calibration = scheme.calibrated_on
    drawn = None if calibration is None else draw_samples(calibration, life.tokenizer, life.facts, life.cell.config.task)
    place, revision = weights_place(model, life.cache)
    loader = _Loader(life, model, 0 if calibration is None else calibration.seed)
    job = QuantizationJob(
        source=place, revision=revision, facts=life.facts, dtype=dtype_of(model, life.head, life.cache), device=life.device,
        trust_remote_code=model.trust_remote_code, tokenizer=copy.deepcopy(life.tokenizer), samples=[] if drawn is None else drawn.samples,
        seed=loader.seed, load=loader.load, folder=folder, notes=[] if drawn is None else list(drawn.notes),
    )  # fmt: skip
    set_seed(job.seed)
    host, begun = HostPeak(), time.monotonic()
    host.start()
    scheme.quantize(job)
    torch_memory.synchronise(life.device)
    seconds, (peak_bytes, peak_source) = time.monotonic() - begun, _peak(life.device, host)
    gc.collect()  # or the unquantized model would still be there when the quantized one is loaded and measured
    cost = QuantizationCost(
        seconds=seconds, peak_bytes=peak_bytes, peak_source=peak_source,
        disk_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), made=datetime.now(UTC), here=True,
    )  # fmt: skip
    return Quantized(folder, None if drawn is None else drawn.seen, cost, tuple(job.notes), loader.drawn)


def _peak(device: str, host: HostPeak) -> tuple[int | None, PeakSource | None]:
    """Peak bytes on the device since the phase began, on a CPU of the host since `host` was started."""
    if device == "cuda":
        return torch_memory.read_peaks(device).reserved, "torch_reserved"
    peak = host.read()
    return peak, None if peak is None else "host_rss"


@dataclass
class _Loader:
    """The model to be quantized, and which of its parameters the checkpoint turned out to lack."""

    life: Life
    model: ModelConfig
    seed: int
    drawn: tuple[str, ...] = ()

    def load(self) -> PreTrainedModel:
        """See QuantizationJob.load."""
        from transformers import set_seed

        assert self.life.head is not None, "load.describe comes first"
        set_seed(self.seed)
        plain = SCHEMES.get(UNQUANTIZED)(scheme=UNQUANTIZED)
        loaded, self.drawn = load_telling_drawn(self.model, self.life.head, plain, self.life.device, self.life.cache)
        return loaded


class _Patience:
    """Tells the record and the log that the cell waits for another process which quantizes the same weights."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._note: str | None = None
        self._said_at = -HEARTBEAT_SECONDS
        self._begun = 0.0

    def wait(self, seconds: float, holder: str) -> None:
        """Called again and again while the cell waits."""
        if self._note is None:
            self._begun = time.monotonic() - seconds
            self._note = f"the quantize phase waited for {holder}, which quantized the same weights"
            self._life.result.notes.append(self._note)
            self._life.report(ResultSoFar(self._life.result))  # a cell that waits too long must say so in its record
        if seconds >= self._said_at + HEARTBEAT_SECONDS:
            self._said_at = seconds
            print(f"waiting for {holder}, which quantizes the same weights: {seconds:.0f} s", flush=True)

    def end(self) -> None:
        """The wait is over: the note says how long it took."""
        if self._note is not None:
            notes = self._life.result.notes
            notes[notes.index(self._note)] = f"{self._note}: {time.monotonic() - self._begun:.1f} s"
