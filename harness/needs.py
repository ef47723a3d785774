"""What a method, scheme or task needs, what this machine and this model have, and the reason when they don't meet.

Plain values without torch: a plan for a machine is made from them before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec


@dataclass(frozen=True)
class Machine:
    """The device that cells will run on.

    device: `cpu` or `cuda`. compute_capability: (major, minor) of GPU 0, None without one or unknown.
    """

    device: str = "cpu"
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its config.json alone.

    kind: `decoder`, `encoder` or `encoder-decoder`. context: longest input in tokens, None when unbounded
    (relative positions). hidden_size and layers: None where the config does not say.
    """

    model_type: str
    kind: str
    context: int | None = None
    hidden_size: int | None = None
    layers: int | None = None
    vocabulary: int | None = None
    prequantized: str | None = None


@dataclass(frozen=True)
class Needs:
    """What a registered class needs; all must hold.

    packages: import names. cuda: a CUDA device. compute_capability: at least this one.
    kinds: kinds of model it can serve (empty: all). model_types: config.json model types (empty: all).
    extra: the extra of ours that brings the packages.
    """

    packages: tuple[str, ...] = ()
    cuda: bool = False
    compute_capability: tuple[int, int] | None = None
    kinds: tuple[str, ...] = field(default=())
    model_types: tuple[str, ...] = field(default=())
    extra: str | None = None

    def unmet(self, machine: Machine, model: ModelFacts | None) -> str | None:
        """Why this cannot be served here, or None. A model of unknown facts (not downloaded yet) is let pass."""
        for package in self.packages:
            if not _installed(package):
                return f"needs the package {package}, which is not installed" + (f": pip install 'harness[{self.extra}]'" if self.extra else "")
        if self.cuda and machine.device != "cuda":
            return "needs a CUDA device"
        if self.compute_capability and machine.compute_capability and machine.compute_capability < self.compute_capability:
            have, want = (".".join(map(str, pair)) for pair in (machine.compute_capability, self.compute_capability))
            return f"needs compute capability {want} or newer; this GPU has {have}"
        if model is None:
            return None
        if self.kinds and model.kind not in self.kinds:
            return f"serves {' and '.join(self.kinds)} models; {model.model_type} is a(n) {model.kind}"
        if self.model_types and model.model_type not in self.model_types:
            return f"serves {', '.join(self.model_types)}; not {model.model_type}"
        return None


def _installed(package: str) -> bool:
    """Whether a package is there; nothing is imported but what stands above it (`optimum` of `optimum.quanto`)."""
    above = package.rpartition(".")[0]
    return (not above or _installed(above)) and find_spec(package) is not None
