"""The table of cards: found by name, and consistent in itself."""

from __future__ import annotations

import pytest

from harness.measure.cards import CARDS, card_of


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
    assert peaks["fp32"] <= peaks.get("tf32", peaks["fp32"])
    if "bf16" in peaks:
        assert peaks["bf16"] == peaks["fp16"] == pytest.approx(2 * peaks["tf32"], rel=0.02)
    assert 1e10 < card.bandwidth < 1e13
    assert 8 <= card.memory_gb <= 200


def test_no_card_is_twice_in_the_table() -> None:
    assert len({card.name.lower() for card in CARDS}) == len(CARDS)
