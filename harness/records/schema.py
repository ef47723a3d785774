"""The record: everything known of one cell after it ran. `harness schema record` prints this as JSON Schema.

Units are SI: bytes are bytes, times seconds unless the name says ms, energy joules. None means not
measured, and then a note says why; it is never 0, -1 or NaN.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Status = Literal["ok", "oom", "diverged", "failed", "timeout", "unsupported"]
When = Literal["before", "after", "merged", "merged-requantized"]
Form = Literal["unmerged", "merged", "merged-requantized"]
FORMS: tuple[Form, ...] = get_args(Form)  # in the order in which a cell makes them
PhaseName = Literal[
    "load", "quantize", "attach", "train", "evaluate_dev", "evaluate", "check", "generate", "merge", "probe",
    "evaluate_merged", "generate_merged", "requantize", "evaluate_requantized", "generate_requantized",
]  # fmt: skip
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
CheckName = Literal[
    "counts", "trains", "gradients", "moves", "frozen", "turns_off", "reloads", "checkpoints", "generates", "pads", "merges", "trainer"
]  # fmt: skip
CHECKS: tuple[CheckName, ...] = get_args(CheckName)  # in the order in which they are made


class Part(BaseModel):
    """Base of the record's parts: unknown keys refused, so that a typo in a writer is found at once."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


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
    config: dict[str, Any] = Field(default_factory=dict, description="the resolved configuration: model, scheme, method, task, train, measure")


class Outcome(Part):
    """How the cell ended. phase: the one it ended in, None when all went through."""

    status: Status
    phase: PhaseName | None = None
    message: str | None = None
    retries: int = 0


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


class PhaseMemory(Part):
    """Peak memory in bytes while one phase ran, four ways and on the host."""

    nvml_process: int | None = Field(default=None, description="NVML: this process and its children on the device")
    nvml_device: int | None = Field(default=None, description="NVML: the whole device, less what was used before the cell")
    torch_reserved: int | None = Field(default=None, description="torch's caching allocator: reserved from the driver")
    torch_allocated: int | None = Field(default=None, description="torch's caching allocator: in live tensors")
    host_rss: int | None = Field(default=None, description="resident set of the cell's process, shared libraries included")


PeakSource = Literal["nvml_process", "nvml_device_delta", "torch_reserved", "host_rss"]


class Memory(Part):
    """Peaks by phase, and the headline: the largest peak over all phases of the best source there was."""

    phases: dict[PhaseName, PhaseMemory] = Field(default_factory=dict)
    peak_vram: int | None = Field(default=None, description="bytes; without a GPU the host's resident set, as peak_vram_source says")
    peak_vram_source: PeakSource | None = None


class Timing(Part):
    """Seconds of wall time by phase (a phase that ran twice is summed) and in total, process start excluded."""

    phases: dict[PhaseName, float] = Field(default_factory=dict)
    total: float | None = None


class Percentiles(Part):
    """Percentiles of a sample of durations in milliseconds."""

    p50: float
    p90: float
    p99: float


class DevValue(Part):
    """One evaluation of the dev rows while training."""

    step: int = Field(description="optimizer steps taken before it")
    metric: str
    value: float | None = Field(description="None: undefined on these rows")


class Training(Part):
    """What the optimizer did. Rates are over the steps after warm-up; tokens are real ones, padding excluded."""

    steps: int = Field(description="optimizer steps")
    tokens: int = Field(description="real tokens seen in all steps, padding excluded")
    samples: int
    tokens_per_second: float | None = None
    samples_per_second: float | None = None
    step_ms: Percentiles | None = None
    final_loss: float | None = Field(default=None, description="mean loss of the last logging interval")
    dev: list[DevValue] = Field(default_factory=list, description="the dev rows evaluated, in their order")
    best_step: int | None = Field(default=None, description="the step at which the dev rows scored best, the first of equals: with load_best_model_at_end the model's after training")
    stopped_early: bool | None = Field(default=None, description="whether early stopping ended it; None where it was not asked for")
    rank_allocation: dict[str, int] | None = Field(default=None, description="rank by module after training, of a method that shares ranks out (AdaLoRA)")


class Latency(Part):
    """Generation speed at one batch size: time to first token, time per further output token, throughput."""

    batch_size: int
    prompt_tokens: int
    new_tokens: int
    ttft_ms: Percentiles
    tpot_ms: Percentiles | None
    tokens_per_second: float
    form: Form = "unmerged"


class Energy(Part):
    """Joules by phase; None without an NVIDIA device that tells."""

    phases: dict[PhaseName, float] = Field(default_factory=dict)
    source: Literal["nvml_counter", "nvml_power"] | None = None


class Sizes(Part):
    """Bytes: the model's weights in memory as stored (packed), those of its other forms, and the method's saved adapter on disk."""

    model_bytes: int | None = Field(default=None, description="as evaluated: without what the method adds, and quantized where that comes after tuning")
    merged_bytes: int | None = Field(default=None, description="with what was tuned merged into unquantized weights")
    requantized_bytes: int | None = Field(default=None, description="merged, then quantized again")
    adapter_bytes: int | None = None


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
    energy: Energy = Field(default_factory=Energy)
    sizes: Sizes = Field(default_factory=Sizes)
    quantization: Quantization | None = Field(default=None, description="None: weights are stored as the model's dtype says")
    probe: list[Check] | None = Field(default=None, description="what was found by a cell that tries its method out instead of training to the end")
    data: list[DataUse] = Field(default_factory=list, description="the rows read; lm-eval's shots and calibration texts are not among them")
    base: Unchanged | None = Field(default=None, description="None: nothing was tuned, or the cell did not get that far")
    environment: Environment
    started: datetime
    finished: datetime
    notes: list[str] = Field(default_factory=list)


class CellResult(Part):
    """What the cell's own process found out: the part of a record that it alone knows, filled as it goes.

    Sent to the parent after every phase, so that a cell that dies keeps what it had measured.
    """

    metrics: list[Metric] = Field(default_factory=list)
    parameters: Parameters | None = None
    training: Training | None = None
    latency: list[Latency] = Field(default_factory=list)
    sizes: Sizes = Field(default_factory=Sizes)
    quantization: Quantization | None = None
    probe: list[Check] | None = None
    data: list[DataUse] = Field(default_factory=list)
    base: Unchanged | None = None
    notes: list[str] = Field(default_factory=list)
