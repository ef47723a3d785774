"""The record's measurements: memory, time, throughput, latency, energy, bytes. Units and None as in parts.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records.parts import LatencyForm, Part, PeakSource, Percentiles, PhaseName


class PhaseMemory(Part):
    """Peak memory in bytes while one phase ran, four ways and on the host."""

    nvml_process: int | None = Field(default=None, description="NVML: this process and its children on the device")
    nvml_device: int | None = Field(default=None, description="NVML: the whole device, less what was used before the cell")
    torch_reserved: int | None = Field(default=None, description="torch's caching allocator: reserved from the driver")
    torch_allocated: int | None = Field(default=None, description="torch's caching allocator: in live tensors")
    host_rss: int | None = Field(default=None, description="resident set of the cell's process, shared libraries included")

    @property
    def outside_torch(self) -> int | None:
        """Bytes of the process that torch's allocator did not reserve: the CUDA context, and what libraries allocate themselves.

        Of two peaks, which need not fall on one moment. None where one is missing, and where the sampler saw less than torch had.
        """
        if self.nvml_process is None or self.torch_reserved is None or self.nvml_process < self.torch_reserved:
            return None
        return self.nvml_process - self.torch_reserved

    @property
    def fragmentation(self) -> int | None:
        """Bytes that torch reserved beyond what lay in live tensors, both at their peaks; None where one is missing."""
        if self.torch_reserved is None or self.torch_allocated is None:
            return None
        return self.torch_reserved - self.torch_allocated


class OtherProcesses(Part):
    """What was on the device beside the cell while it ran."""

    peak_bytes: int | None = Field(default=None, description="the most that they held at one moment; None where the driver does not tell whose memory it is")
    processes: int = Field(description="how many were seen")


class Memory(Part):
    """Peaks by phase, and the headline: the largest peak over all phases of the best source there was."""

    phases: dict[PhaseName, PhaseMemory] = Field(default_factory=dict)
    peak_vram: int | None = Field(default=None, description="bytes; without a GPU the host's resident set, as peak_vram_source says")
    peak_vram_source: PeakSource | None = None
    others: OtherProcesses | None = Field(default=None, description="None: nobody else was seen on the device")


class Timing(Part):
    """Seconds of wall time by phase (a phase that ran twice is summed) and in total, process start excluded."""

    phases: dict[PhaseName, float] = Field(default_factory=dict)
    total: float | None = None
    throttled: dict[PhaseName, list[str]] = Field(default_factory=dict, description="phases in which the device slowed its clocks, and why: thermal and power reasons, as NVML names them")


class DevValue(Part):
    """One evaluation of the dev rows while training."""

    step: int = Field(description="optimizer steps taken before it")
    metric: str
    value: float | None = Field(description="None: undefined on these rows")


class Training(Part):
    """What the optimizer did. Rates are over the steps after warm-up; tokens are real ones, padding excluded."""

    steps: int = Field(description="optimizer steps")
    tokens: int = Field(description="real tokens read in all steps, padding excluded; of an encoder-decoder by both stacks")
    samples: int
    tokens_per_second: float | None = None
    samples_per_second: float | None = None
    padded_tokens: int | None = Field(default=None, description="tokens computed in all steps, padding included, virtual tokens of soft prompts not")
    padded_tokens_per_second: float | None = None
    data_wait_ms: Percentiles | None = Field(default=None, description="time per optimizer step that the loop waited for its batches, after warm-up")
    data_wait_share: float | None = Field(default=None, description="of the wall time after warm-up, 0..1")
    flops_per_token: float | None = Field(default=None, description="model FLOPs per padded token, forward and backward, without what is computed again")
    mfu: float | None = Field(default=None, description="model FLOPs utilisation: of the card's peak for the dtype computed in, 0..1")
    peak_flops: float | None = Field(default=None, description="the card's dense peak in FLOP/s that mfu is a share of")
    step_ms: Percentiles | None = None
    final_loss: float | None = Field(default=None, description="mean loss of the last logging interval")
    dev: list[DevValue] = Field(default_factory=list, description="the dev rows evaluated, in their order")
    best_step: int | None = Field(default=None, description="the step at which the dev rows scored best, the first of equals: with load_best_model_at_end the model's after training")
    stopped_early: bool | None = Field(default=None, description="whether early stopping ended it; None where it was not asked for")
    rank_allocation: dict[str, int] | None = Field(default=None, description="rank by module after training, of a method that shares ranks out (AdaLoRA)")


class Latency(Part):
    """Generation speed at one batch size and prompt length: time to first token, per further token, end to end, throughput."""

    batch_size: int
    prompt_tokens: int
    new_tokens: int
    ttft_ms: Percentiles
    tpot_ms: Percentiles | None
    e2e_ms: Percentiles | None = Field(default=None, description="the whole generation, from the prompt to the last token")
    tokens_per_second: float
    repeats: int | None = None
    form: LatencyForm = "unmerged"


class BatchLatency(Part):
    """Speed of one forward pass of a model that classifies or scores: time per batch."""

    batch_size: int
    tokens: int = Field(description="of every row")
    batch_ms: Percentiles
    samples_per_second: float
    repeats: int
    form: LatencyForm = "unmerged"


class Energy(Part):
    """Joules by phase; None without an NVIDIA device that tells."""

    phases: dict[PhaseName, float] = Field(default_factory=dict)
    source: Literal["nvml_counter", "nvml_power"] | None = None
    error: dict[PhaseName, float] = Field(default_factory=dict, description="joules by which sampled power may be off, by phase; empty for the driver's counter")
    joules_per_training_token: float | None = Field(default=None, description="energy of the train phase per real token trained on")
    joules_per_generated_token: float | None = Field(default=None, description="energy of the generate phase per token generated in it, untimed repetitions included")


class Sizes(Part):
    """Bytes: the model's weights in memory as stored (packed), those of its other forms, and the method's saved adapter on disk."""

    model_bytes: int | None = Field(default=None, description="as evaluated: without what the method adds, and quantized where that comes after tuning")
    merged_bytes: int | None = Field(default=None, description="with what was tuned merged into unquantized weights")
    requantized_bytes: int | None = Field(default=None, description="merged, then quantized again")
    adapter_bytes: int | None = None
