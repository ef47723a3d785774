"""What a card of a marketed size has room for. A card sold as 16 GB does not show 16 GiB to a program."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class CardSize:
    """gigabytes: as the card is sold. usable: bytes that CUDA tells a program there are, of the card of that size that tells least."""

    gigabytes: int
    usable: int


def _card(gigabytes: int, usable_gib: float) -> CardSize:
    return CardSize(gigabytes, int(usable_gib * GIB))


#: The totals that torch names in its out-of-memory errors ("GPU 0 has a total capacity of ..."), as users of such cards have
#: reported them, the least that was found for each size, rounded down. ECC takes a sixteenth of cards with GDDR memory (T4, A10,
#: L40), the driver some hundred MB of every one. 8: RTX 3070 (7.78 GiB); 10: RTX 3080 (9.78); 12: RTX 4080 laptop (11.60);
#: 16: T4 (14.56); 24: A10 (21.99); 40: A100 (39.38); 48: L40 (44.40); 80: A100 and H100 (79.10); 141: H200, whose borrowed
#: machine is described as having about 139 GiB.
CARD_SIZES = (
    _card(8, 7.7), _card(10, 9.7), _card(12, 11.6), _card(16, 14.5), _card(24, 21.9),
    _card(40, 39.3), _card(48, 44.4), _card(80, 79.1), _card(141, 139.0),
)  # fmt: skip
