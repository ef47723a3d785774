"""The table of cards: found by name, and consistent in itself."""

from __future__ import annotations

import pytest

from harness.measure.cards import CARDS, Dtype, card_of


@pytest.mark.parametrize(
    ("name", "bf16"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12), ("A100-PCIE-40GB", 312e12), ("NVIDIA H200", 989.5e12), ("NVIDIA H100 80GB HBM3", 989.5e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12), ("NVIDIA L40S", 362.05e12), ("NVIDIA L40", 181.05e12), ("NVIDIA RTX A6000", 154.8e12),
    ],
)  # fmt: skip
def test_cards_are_found_by_the_name_that_nvml_gives(name: str, bf16: float) -> None:
    card = card_of(name)
    assert card is not None
    assert card.peaks["bf16"] == pytest.approx(bf16)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 4080 SUPER", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "NVIDIA A1000", "", "Radeon"],
)
def test_another_card_of_a_similar_name_is_unknown(name: str) -> None:
    assert card_of(name) is None


@pytest.mark.parametrize("name", ["Tesla T4", "Tesla V100-SXM2-32GB", "NVIDIA GeForce GTX 1080 Ti"])
def test_cards_before_ampere_have_no_peak_of_bf16_and_tf32(name: str) -> None:
    card = card_of(name)
    assert card is not None
    assert set(card.peaks) <= {"fp32", "fp16"}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_rates_stand_to_each_other_as_tensor_cores_have_them(card) -> None:  # type: ignore[no-untyped-def]
    """Dense rates: 16-bit products are twice as fast as tf32's on every generation, and as fast in both dtypes."""
    peaks = card.peaks
    if {"fp32", "tf32"} <= set(peaks):
        assert peaks["fp32"] <= peaks["tf32"]
    if "bf16" in peaks:
        assert peaks["bf16"] == peaks["fp16"] == pytest.approx(2 * peaks["tf32"], rel=0.02)
    assert 1e10 < card.bandwidth < 1e13
    assert 8 <= card.memory_gb <= 200


#: card: multiprocessors, boost clock in MHz, and by dtype the multiplications that a multiprocessor adds up per clock: as NVIDIA's white
#: papers of the architectures have them. Of GeForce cards and the A10G with sums in fp32: half of what the same chip does elsewhere.
CHIPS: dict[str, tuple[int, int, dict[Dtype, int]]] = {
    "GTX 1080 Ti": (28, 1582, {"fp32": 128}),
    "P100-PCIE-16GB": (56, 1303, {"fp32": 64, "fp16": 128}),
    "P100-SXM2-16GB": (56, 1480, {"fp32": 64, "fp16": 128}),
    "V100-PCIE-32GB": (80, 1370, {"fp32": 64, "fp16": 512}),
    "V100-SXM2-32GB": (80, 1530, {"fp32": 64, "fp16": 512}),
    "V100S-PCIE-32GB": (80, 1597, {"fp32": 64, "fp16": 512}),
    "T4": (40, 1590, {"fp32": 64, "fp16": 512}),
    "A100-SXM4-80GB": (108, 1410, {"fp32": 64, "tf32": 512, "bf16": 1024}),
    "A10": (72, 1695, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "A10G": (80, 1710, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "A30": (56, 1440, {"fp32": 64, "tf32": 512, "bf16": 1024}),
    "A40": (84, 1740, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "RTX A4000": (48, 1560, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "RTX A5000": (64, 1695, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "RTX A6000": (84, 1800, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "RTX 3060": (28, 1777, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 3090": (82, 1695, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 4060 Ti": (34, 2535, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 4070 Ti": (60, 2610, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 4080": (76, 2505, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 4090": (128, 2520, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 5090": (170, 2407, {"fp32": 128, "tf32": 128, "bf16": 256}),
    "RTX 6000 Ada Generation": (142, 2505, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "L4": (58, 2040, {"fp32": 128, "tf32": 256, "bf16": 512}),
    "L40S": (142, 2520, {"fp32": 128, "tf32": 256, "bf16": 512}),
}
#: The same of Hopper's cards, whose white paper tells the rates of tensor cores at a lower clock.
HOPPER: list[tuple[str, int, int, dict[Dtype, int]]] = [
    ("H100 PCIe", 114, 1755, {"fp32": 128}), ("H100 PCIe", 114, 1620, {"tf32": 1024, "bf16": 2048}),
    ("H100 80GB HBM3", 132, 1980, {"fp32": 128}), ("H100 80GB HBM3", 132, 1830, {"tf32": 1024, "bf16": 2048}),
    ("H200", 132, 1980, {"fp32": 128}), ("H200", 132, 1830, {"tf32": 1024, "bf16": 2048}),
    ("GH200 480GB", 132, 1980, {"fp32": 128}), ("GH200 480GB", 132, 1830, {"tf32": 1024, "bf16": 2048}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "multiprocessors", "mhz", "products"), [*((name, *chip) for name, chip in CHIPS.items()), *HOPPER])
def test_rates_are_those_of_the_chip_at_its_boost_clock(name: str, multiprocessors: int, mhz: int, products: dict[Dtype, int]) -> None:
    card = card_of(name)
    assert card is not None
    for dtype, per_clock in products.items():
        assert card.peaks[dtype] == pytest.approx(2 * per_clock * multiprocessors * mhz * 1e6, rel=0.02), dtype


def test_a_rate_on_which_documents_disagree_is_not_in_the_table() -> None:
    card = card_of("NVIDIA B200")
    assert card is not None
    assert set(card.peaks) == {"tf32", "fp16", "bf16"}


def test_no_card_is_twice_in_the_table() -> None:
    assert len({card.name.lower() for card in CARDS}) == len(CARDS)
