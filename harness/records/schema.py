"""The record: everything known of one cell after it ran. `harness schema record` prints this as JSON Schema.

Units are SI: bytes are bytes, times seconds unless the name says ms, energy joules. None means not
measured, and then a note says why; it is never 0, -1 or NaN.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.records.measured import BatchLatency, Energy, Latency, Memory, Sizes, Timing, Training
from harness.records.parts import CheckName, Part, PeakSource, PhaseName, Status, When

SCHEMA_VERSION = 1

class CellPart(Part):
    """Which cell: its id, its place on every axis, and the whole resolved configuration."""

    id: str
    suite: str
    profile: str | None = None
    model: str
    quantization: str
    method: str
    task: str
    seed: int
    sweep: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict, description="the resolved configuration: model, scheme, method, task, train, measure, deterministic")

    @field_validator("config")
    @classmethod
    def _of_sections(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Readers look into every section; `deterministic` alone is none."""
        for name, value in config.items():
            if not isinstance(value, bool if name == "deterministic" else dict):
                raise ValueError(f"{name} holds {value!r:.60}")
        return config


class OutOfMemory(Part):
    """What is known of the allocation that did not fit, in bytes."""

    where: Literal["device", "host"]
    asked: int | None = None
    free: int | None = Field(default=None, description="free on the device, or in the host's memory, when it was asked for")
    allocated: int | None = Field(default=None, description="in torch's live tensors")
    reserved: int | None = Field(default=None, description="held by torch's caching allocator")
    total: int | None = Field(default=None, description="of the device or the host, or what limits.memory_bytes left of it")


class EarlierAttempt(Part):
    """An attempt at the cell that was no result, so that it was tried again."""

    status: Status
    phase: PhaseName | None = None
    message: str | None = None
    ended: datetime


class Outcome(Part):
    """How the cell ended. phase: the one it ended in, None when all went through. retries: attempts before this one."""

    status: Status
    phase: PhaseName | None = None
    message: str | None = None
    retries: int = 0
    earlier: list[EarlierAttempt] = Field(default_factory=list, description="why it was tried again, the oldest first; early records only count their retries")
    out_of_memory: OutOfMemory | None = Field(default=None, description="where status is oom")


class Metric(Part):
    """One number of quality, with the exact way it was computed."""

    name: str
    value: float | None = Field(description="None: undefined on this input (the notes say why)")
    stderr: float | None = Field(default=None, description="standard error over the items evaluated")
    n: int | None = Field(default=None, description="items (sentences, questions, windows) that the number is over")
    items: list[float] | None = Field(
        default=None, description="what each item contributes, in their order: the mean is the value, to first order; two cells of one protocol are compared item by item"
    )
    unit: str | None = None
    higher_is_better: bool
    split: str
    protocol: str
    when: When = "after"
    task: str | None = Field(default=None, description="what was evaluated, where that is not the cell's own task")


class DataUse(Part):
    """Rows that the cell read: what for, of which task and split, how many, and a hash of their content."""

    role: Literal["training", "dev", "evaluation", "shots"]
    task: str
    split: str
    rows: int
    sha256: str = Field(description="over the columns used, in the order in which rows were used")
    revision: str | None = Field(default=None, description="commit of the hub data set; None for local rows, and where `datasets` did not tell")
    trained_on: int | None = Field(default=None, description="rows evaluated whose input is also that of a row trained on, character by character")
    trained_on_normalised: int | None = Field(default=None, description="the same, of inputs reduced to their letters and digits in lower case")


class Unchanged(Part):
    """Whether the frozen base still scores as it did before training, with the method turned off: the first items of every evaluation."""

    same: bool | None = Field(description="None: it could not be tried, as `reason` says")
    metrics: int = Field(default=0, description="numbers compared, for exact equality")
    reason: str | None = None


class Parameters(Part):
    """Counts of parameters; 4-bit packed weights are counted unpacked."""

    total: int
    trainable: int
    trainable_percent: float
    added: int = Field(description="parameters that the method added to the base model")
    chosen: dict[str, int] | None = Field(default=None, description="the size that the method's budget chose: {r: 6}")


class CalibrationSeen(Part):
    """The texts that a scheme was calibrated on, as they turned out."""

    set: str = Field(description="the named set, `file` or `texts`")
    samples: int
    tokens: int
    shortest: int = Field(description="tokens of the shortest sample")


class QuantizationCost(Part):
    """What it took to quantize the weights, once, before they were loaded; from the cache's entry where another cell has done it."""

    seconds: float
    peak_bytes: int | None = Field(description="peak memory while quantizing; None where it could not be measured")
    peak_source: PeakSource | None = None
    disk_bytes: int = Field(description="bytes of the cache's entry")
    made: datetime
    here: bool = Field(description="whether this cell quantized; otherwise it loaded what another one had")


class Quantization(Part):
    """How the weights of the quantized layers were stored, as found in the loaded model."""

    layers: int
    weights: int = Field(description="weights in the quantized layers")
    bytes: int = Field(description="bytes that they take, constants included")
    bits_per_weight: float = Field(description="8 * bytes / weights")
    kernels: dict[str, int] = Field(description="class that computes the products -> number of layers")
    calibration: CalibrationSeen | None = None
    cost: QuantizationCost | None = Field(default=None, description="None: quantized while loading, whose time and memory hold it")


class Trial(Part):
    """One fresh process that trained a few steps at a size of its own, to see whether it fits."""

    batch_size: int
    max_length: int
    status: Status
    peak_bytes: int | None = None
    total_bytes: int | None = Field(default=None, description="that it could have had of the memory that it ran out of, where status is oom; see Record.room")


class Fit(Part):
    """The largest sizes that fit, found by bisection; every row of a trial is as long as max_length."""

    batch_size: int | None = Field(default=None, description="largest per_device_train_batch_size at the cell's max_length; None: not even 1, or, as a note says, not found out")
    batch_size_is_bound: bool = Field(default=False, description="the search ended at its upper bound: more may fit")
    max_length: int | None = Field(default=None, description="longest sequence at the cell's batch size; None: not even the shortest tried, or, as a note says, not found out")
    max_length_is_bound: bool = Field(default=False, description="the search ended at its upper bound, or at the model's context")
    source: PeakSource | None = Field(default=None, description="of the trials' peak_bytes")
    trials: list[Trial] = Field(default_factory=list)


class Check(Part):
    """One thing that was looked at when a method was tried on a model."""

    name: CheckName
    passed: bool | None = Field(description="None: it does not apply here, and the detail says why")
    detail: str


class Git(Part):
    """The state of the working tree that the run was started in."""

    commit: str
    dirty: bool


class Environment(Part):
    """Where it ran."""

    device: Literal["cpu", "cuda"]
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    python: str
    platform: str
    host: str
    harness: str
    packages: dict[str, str] = Field(default_factory=dict)
    git: Git | None = None


class Record(Part):
    """The result of one cell."""

    schema_version: int = SCHEMA_VERSION
    cell: CellPart
    outcome: Outcome
    metrics: list[Metric] = Field(default_factory=list)
    parameters: Parameters | None = None
    memory: Memory = Field(default_factory=Memory)
    timing: Timing = Field(default_factory=Timing)
    training: Training | None = None
    latency: list[Latency] = Field(default_factory=list)
    batch_latency: list[BatchLatency] = Field(default_factory=list)
    energy: Energy = Field(default_factory=Energy)
    fit: Fit | None = Field(default=None, description="None: measure.fit did not ask for it, or nothing was trained")
    sizes: Sizes = Field(default_factory=Sizes)
    quantization: Quantization | None = Field(default=None, description="None: weights are stored as the model's dtype says")
    probe: list[Check] | None = Field(default=None, description="what was found by a cell that tries its method out instead of training to the end")
    data: list[DataUse] = Field(default_factory=list, description="the rows read; lm-eval's shots and calibration texts are not among them")
    base: Unchanged | None = Field(default=None, description="None: nothing was tuned, or the cell did not get that far")
    environment: Environment
    started: datetime
    finished: datetime
    notes: list[str] = Field(default_factory=list)

    @property
    def quantized_here(self) -> bool:
        """Whether the cell quantized its weights itself, once, before they were loaded, and did not read them from where another cell left them."""
        return self.quantization is not None and self.quantization.cost is not None and self.quantization.cost.here

    @property
    def room(self) -> int | None:
        """Bytes that a cell which ran out of memory could have had where it ran, and which it therefore needs more than: all there is, less
        what others held on its GPU. None where that is not known, and where a cell on a GPU ran out of the host's memory: of cards that says nothing.
        """
        found, others = self.outcome.out_of_memory, self.memory.others
        if found is None or (found.where == "host" and self.environment.device == "cuda"):
            return None
        theirs = 0 if others is None else others.peak_bytes
        bounds = [] if found.total is None or theirs is None else [found.total - theirs]
        bounds += [] if found.reserved is None or found.free is None else [found.reserved + found.free]
        return max(bounds, default=None)


class CellResult(Part):
    """What the cell's own process found out: the part of a record that it alone knows, filled as it goes.

    Sent to the parent after every phase, so that a cell that dies keeps what it had measured.
    """

    metrics: list[Metric] = Field(default_factory=list)
    parameters: Parameters | None = None
    training: Training | None = None
    latency: list[Latency] = Field(default_factory=list)
    batch_latency: list[BatchLatency] = Field(default_factory=list)
    sizes: Sizes = Field(default_factory=Sizes)
    quantization: Quantization | None = None
    probe: list[Check] | None = None
    data: list[DataUse] = Field(default_factory=list)
    base: Unchanged | None = None
    notes: list[str] = Field(default_factory=list)
