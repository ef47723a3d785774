"""What cards can do at most: dense peak rates by dtype, memory and its bandwidth, as NVIDIA's own documents say.

Rates are those of matrix products without sparsity, in FLOP/s (a multiplication and an addition are two), on tensor cores
where a card has them for the dtype, with sums in fp32, as torch lets cuBLAS compute. GeForce cards, and the A10G, run
16-bit products at half their rate when they sum in fp32; what stands here is that half. A card is found by the name that
NVML and torch give it, and by nothing less: a laptop's, a `D`, a `SUPER` or a MIG slice is another card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Dtype = Literal["fp32", "tf32", "fp16", "bf16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
_MAKERS = ("nvidia ", "tesla ", "geforce ")


@dataclass(frozen=True)
class Card:
    """One card. peaks: FLOP/s by dtype, without those that it has no fast products of, or that no document tells for sure. memory_gb: as it is sold.

    bandwidth: bytes/s of its memory. source: NVIDIA's document.
    """

    name: str
    peaks: Mapping[Dtype, float]
    memory_gb: int
    bandwidth: float
    source: str


def card_of(name: str) -> Card | None:
    """The card of that name, as NVML and torch give it (`NVIDIA A100-SXM4-80GB`); None for one that is not in the table."""
    plain = name.strip().lower()
    for maker in _MAKERS:
        plain = plain.removeprefix(maker)
    return _BY_NAME.get(plain)


def _card(
    name: str, memory_gb: int, gb_per_second: float, source: str, *, fp32: float | None = None, tf32: float | None = None, fp16: float | None = None, bf16: float | None = None
) -> Card:
    """Rates in TFLOP/s, as the documents have them."""
    rates = {"fp32": fp32, "tf32": tf32, "fp16": fp16, "bf16": bf16}
    peaks = {dtype: rate * 1e12 for dtype in DTYPES if (rate := rates[dtype]) is not None}
    return Card(name, peaks, memory_gb, gb_per_second * 1e9, source)


_GP = "NVIDIA Tesla P100 data sheet"
_GV = "NVIDIA V100 Tensor Core GPU data sheet"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet"
_GH = "NVIDIA H100 Tensor Core GPU data sheet (its figures with sparsity, halved)"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet (its figures with sparsity, halved)"
_GH200 = "NVIDIA GH200 Grace Hopper Superchip data sheet (its figures with sparsity, halved)"
_AMPERE = "NVIDIA Ampere GA102 GPU Architecture white paper: rates per SM, at the boost clock"
_ADA = "NVIDIA Ada GPU Architecture white paper: rates per SM, at the boost clock"

CARDS: tuple[Card, ...] = (
    _card("GTX 1080 Ti", 11, 484, "NVIDIA's specification of the GeForce GTX 1080 Ti: 3584 cores at 1582 MHz", fp32=11.3),
    _card("P100-PCIE-12GB", 12, 549, _GP, fp32=9.3, fp16=18.7),
    _card("P100-PCIE-16GB", 16, 732, _GP, fp32=9.3, fp16=18.7),
    _card("P100-SXM2-16GB", 16, 732, _GP, fp32=10.6, fp16=21.2),
    _card("V100-PCIE-16GB", 16, 900, _GV, fp32=14.0, fp16=112.0),
    _card("V100-PCIE-32GB", 32, 900, _GV, fp32=14.0, fp16=112.0),
    _card("V100-SXM2-16GB", 16, 900, _GV, fp32=15.7, fp16=125.0),
    _card("V100-SXM2-32GB", 32, 900, _GV, fp32=15.7, fp16=125.0),
    _card("V100S-PCIE-32GB", 32, 1134, _GV, fp32=16.4, fp16=130.0),
    _card("T4", 16, 320, "NVIDIA Turing GPU Architecture white paper, Tesla T4", fp32=8.1, fp16=65.0),
    _card("A100-PCIE-40GB", 40, 1555, _A100, fp32=19.5, tf32=156.0, fp16=312.0, bf16=312.0),
    _card("A100-SXM4-40GB", 40, 1555, _A100, fp32=19.5, tf32=156.0, fp16=312.0, bf16=312.0),
    _card("A100 80GB PCIe", 80, 1935, _A100, fp32=19.5, tf32=156.0, fp16=312.0, bf16=312.0),
    _card("A100-SXM4-80GB", 80, 2039, _A100, fp32=19.5, tf32=156.0, fp16=312.0, bf16=312.0),
    _card("A10", 24, 600, "NVIDIA A10 Tensor Core GPU data sheet", fp32=31.2, tf32=62.5, fp16=125.0, bf16=125.0),
    _card("A10G", 24, 600, "NVIDIA A10G Tensor Core GPU data sheet", fp32=35.0, tf32=35.0, fp16=70.0, bf16=70.0),
    _card("A30", 24, 933, "NVIDIA A30 Tensor Core GPU data sheet", fp32=10.3, tf32=82.0, fp16=165.0, bf16=165.0),
    _card("A40", 48, 696, "NVIDIA A40 data sheet", fp32=37.4, tf32=74.8, fp16=149.7, bf16=149.7),
    _card("RTX A4000", 16, 448, "NVIDIA RTX A4000 data sheet (tensor performance with sparsity, halved)", fp32=19.2, tf32=38.3, fp16=76.7, bf16=76.7),
    _card("RTX A5000", 24, 768, "NVIDIA RTX A5000 data sheet (tensor performance with sparsity, halved)", fp32=27.8, tf32=55.6, fp16=111.1, bf16=111.1),
    _card("RTX A6000", 48, 768, "NVIDIA RTX A6000 data sheet (tensor performance with sparsity, halved)", fp32=38.7, tf32=77.4, fp16=154.8, bf16=154.8),
    _card("RTX 3060", 12, 360, _AMPERE, fp32=12.7, tf32=12.7, fp16=25.5, bf16=25.5),
    _card("RTX 3090", 24, 936, _AMPERE, fp32=35.6, tf32=35.6, fp16=71.0, bf16=71.0),
    _card("RTX 4060 Ti", 16, 288, _ADA, fp32=22.1, tf32=22.1, fp16=44.1, bf16=44.1),
    _card("RTX 4070 Ti", 12, 504, _ADA, fp32=40.1, tf32=40.1, fp16=80.2, bf16=80.2),
    _card("RTX 4080", 16, 716.8, _ADA, fp32=48.7, tf32=48.7, fp16=97.5, bf16=97.5),
    _card("RTX 4090", 24, 1008, _ADA, fp32=82.6, tf32=82.6, fp16=165.2, bf16=165.2),
    _card("RTX 5090", 32, 1792, "NVIDIA RTX Blackwell GPU Architecture white paper", fp32=104.8, tf32=104.8, fp16=209.5, bf16=209.5),
    _card("RTX 6000 Ada Generation", 48, 960, "NVIDIA RTX 6000 Ada Generation data sheet (tensor performance in fp8 with sparsity, by four)",
          fp32=91.1, tf32=182.1, fp16=364.2, bf16=364.2),
    _card("L4", 24, 300, "NVIDIA L4 Tensor Core GPU data sheet (its figures with sparsity, halved)", fp32=30.3, tf32=60.0, fp16=121.0, bf16=121.0),
    _card("L40", 48, 864, "NVIDIA L40 data sheet", fp32=90.5, tf32=90.5, fp16=181.05, bf16=181.05),
    _card("L40S", 48, 864, "NVIDIA L40S data sheet", fp32=91.6, tf32=183.0, fp16=362.05, bf16=362.05),
    _card("H100 PCIe", 80, 2000, _GH, fp32=51.0, tf32=378.0, fp16=756.5, bf16=756.5),
    _card("H100 80GB HBM3", 80, 3350, _GH, fp32=67.0, tf32=494.5, fp16=989.5, bf16=989.5),
    _card("H100 NVL", 94, 3900, _GH, fp32=60.0, tf32=417.5, fp16=835.5, bf16=835.5),
    _card("H200", 141, 4800, _H200, fp32=67.0, tf32=494.5, fp16=989.5, bf16=989.5),
    _card("H200 NVL", 141, 4800, _H200, fp32=60.0, tf32=417.5, fp16=835.5, bf16=835.5),
    _card("GH200 480GB", 96, 4000, _GH200, fp32=67.0, tf32=494.5, fp16=989.5, bf16=989.5),
    _card("GH200 144G HBM3e", 144, 4900, _GH200, fp32=67.0, tf32=494.5, fp16=989.5, bf16=989.5),
    _card("B200", 180, 8000, "NVIDIA DGX B200 and HGX B200 data sheets, an eighth of the system's (figures with sparsity, halved)",
          tf32=1125.0, fp16=2250.0, bf16=2250.0),  # fp32: NVIDIA's documents and their readers have 75, 80 and 90
)  # fmt: skip

_BY_NAME = {card.name.lower(): card for card in CARDS}
