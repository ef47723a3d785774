"""Low-rank updates other than LoRA's own, through PEFT: Hadamard and Kronecker products (LyCORIS), and shared random projections (VeRA)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, Literal

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import METHODS, SizedMethod
from harness.methods.matrices import MatrixMethod, check_rank, largest_rank, rank_of, rank_trouble
from harness.methods.targets import saved_whole, tuned_biases
from harness.models.anatomy import Anatomy, Module
from harness.needs import ModelFacts
from harness.quantization.base import Scheme

UNPACKED = ("bnb-int8", "simulated")  # quantized schemes that keep a weight's shape


class LycorisMethod(SizedMethod, MatrixMethod):
    """What LoHa and LoKr share: PEFT wraps torch's Linear only, and builds the update in the shape that its weight is stored in."""

    merges: ClassVar[bool] = True
    conv1d: ClassVar[bool] = False
    knob: ClassVar[str] = "r"

    r: int = identity(8, ge=1, description="rank of the low-rank factors")
    alpha: float = identity(8, gt=0, description="the update is scaled by alpha / r")
    rank_pattern: dict[str, int] | None = identity(None, description="rank by module name or regular expression")

    def unsupported(self, model: ModelFacts | None, scheme: Scheme) -> str | None:
        """See MatrixMethod; refuses packed weights, and a rank that no matrix can have."""
        if scheme.quantizes and scheme.scheme not in UNPACKED:
            return f"PEFT's {self.config_class} needs weights stored in their own shape; {scheme.scheme} packs them"
        return super().unsupported(model, scheme) or rank_trouble(self.r, model)

    def targets(self, anatomy: Anatomy) -> list[Module]:
        """See MatrixMethod.targets; raises Unsupported for a rank larger than one of them."""
        found = super().targets(anatomy)
        for module in found:
            check_rank(self.rank(module), module, "rank")
        return found

    def rank(self, module: Module) -> int:
        """The module's own rank."""
        return rank_of(module, self.r, self.rank_pattern)

    def merged(self, model: Any) -> Any:
        """PEFT's merge_and_unload; raises Unsupported for quantized weights, to which PEFT would add floats."""
        if getattr(model.get_base_model(), "is_quantized", False):
            raise Unsupported(f"PEFT merges {self.config_class} into full-precision weights only")
        return super().merged(model)


@METHODS.register("loha")
class Loha(LycorisMethod):
    """LoHa: the update is the Hadamard product of two low-rank products, (B1 A1) * (B2 A2), of rank up to r^2.

    Trainable parameters: sum over target modules of 2 r (in + out). Hyeon-Woo et al. 2022 (FedPara, arXiv
    2108.06098, proposition 1), for language and image models in LyCORIS (arXiv 2309.14859).
    """

    config_class: ClassVar[str] = "LoHaConfig"

    def largest(self, anatomy: Anatomy) -> int:
        """The largest rank that all targets can have."""
        return largest_rank(MatrixMethod.targets(self, anatomy))

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of 2 r (in + out)."""
        sizes = (2 * self.rank(module) * (module.in_features + module.out_features) for module in self.targets(anatomy))
        return sum(sizes) + saved_whole(anatomy, self.modules_to_save)


@METHODS.register("lokr")
class Lokr(LycorisMethod):
    """LoKr: the update is the Kronecker product of a small matrix C (a x c) and a low-rank one, B A, of (b x d).

    out = a b and in = c d are factored as near to the square root as can be, or by decompose_factor. Trainable
    parameters: sum over target modules of a c + r (b + d), where r is below half of max(b, d), else a c + b d; with
    decompose_both C is of rank r likewise, r (a + c). LyCORIS (Yeh et al. 2024, arXiv 2309.14859, section 3.2).
    """

    config_class: ClassVar[str] = "LoKrConfig"

    decompose_both: bool = identity(False, description="the smaller factor is of rank r as well")
    decompose_factor: int = identity(-1, ge=-1, description="wanted size of the smaller factor's sides; -1: near the square root")

    def largest(self, anatomy: Anatomy) -> int:
        """The largest rank up to which the count never falls: beyond it factors turn full, which takes fewer parameters."""
        targets = MatrixMethod.targets(self, anatomy)
        shapes = Counter((module.in_features, module.out_features) for module in targets)
        counts = [sum(number * self._size(*shape, rank) for shape, number in shapes.items()) for rank in range(1, largest_rank(targets) + 1)]
        falls = (rank for rank, (count, larger) in enumerate(pairwise(counts), start=1) if larger < count)
        return next(falls, len(counts))

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of the two factors' parameters."""
        sizes = (self._size(module.in_features, module.out_features, self.rank(module)) for module in self.targets(anatomy))
        return sum(sizes) + saved_whole(anatomy, self.modules_to_save)

    def _size(self, in_features: int, out_features: int, rank: int) -> int:
        (c, d), (a, b) = (factored(size, self.decompose_factor) for size in (in_features, out_features))
        left = rank * (a + c) if self.decompose_both and rank < max(a, c) / 2 else a * c
        right = rank * (b + d) if rank < max(b, d) / 2 else b * d
        return left + right


@METHODS.register("vera")
class Vera(SizedMethod, MatrixMethod):
    """VeRA: one pair of frozen random projections for all layers, scaled by two tuned vectors each, b * (B (d * (A x))).

    Trainable parameters: sum over target modules of r + out. Kopiczko et al. 2024 (arXiv 2310.11454), which takes
    r 1024 for RoBERTa-base and 256 for larger models.
    """

    merges: ClassVar[bool] = True
    config_class: ClassVar[str] = "VeraConfig"
    knob: ClassVar[str] = "r"

    r: int = identity(256, ge=1, description="rank of the shared projections; may be larger than a matrix, they are not tuned")
    d_initial: float = identity(0.1, description="initial value of the vector d")
    bias: Literal["none", "all", "vera_only"] = identity("none", description="which biases are tuned too")

    def largest(self, anatomy: Anatomy) -> int:
        """Four times the model's width: the projections take r (in + out) numbers of memory."""
        return 4 * anatomy.hidden_size

    def count(self, anatomy: Anatomy) -> int:
        """Sum over targets of r + out, with tuned biases and modules tuned whole."""
        targets = self.targets(anatomy)
        beside = tuned_biases(anatomy, targets, self.bias) + saved_whole(anatomy, self.modules_to_save)
        return sum(self.r + module.out_features for module in targets) + beside


def factored(size: int, factor: int) -> tuple[int, int]:
    """Two factors of `size`, the smaller first: `factor` and the rest where it divides; else the largest below it, -1 for no limit.

    Source: PEFT's tuners.lokr.layer.factorization, after LyCORIS.
    """
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    limit = size if factor == -1 else factor
    smaller = max(divisor for divisor in _divisors(size) if divisor <= limit)
    return smaller, size // smaller


def _divisors(size: int) -> Iterator[int]:
    """Divisors up to the square root."""
    return (divisor for divisor in range(1, int(size**0.5) + 1) if size % divisor == 0)
