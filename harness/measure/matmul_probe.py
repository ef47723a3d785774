"""A short probe of how fast a device really multiplies matrices: what can be reached here of the card's peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measure.clock import mark_on

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
PRODUCT_SECONDS = 0.004  # a product that long hides what it costs to start it
SMALLEST, LARGEST = 128, 16384
MEMORY_SHARE = 8  # three matrices together take no more than this part of the device's free memory


def measured_flops(device: str, dtype: str, seconds: float = 0.25) -> float:
    """FLOP/s of square matrix products in that dtype, a multiplication and an addition counted as two.

    device: `cpu` (all of torch's threads) or `cuda`, timed by the device's own clock. dtype: one of DTYPES. seconds: how long the timed
    products take together, about; finding the size takes a few products more. Raises ValueError for another dtype, and torch's
    OutOfMemoryError where the device has no room for the smallest matrices.
    """
    import torch

    if dtype not in DTYPES:
        raise ValueError(f"{dtype!r} is no dtype of the probe: {', '.join(DTYPES)}")
    kind: torch.dtype = getattr(torch, dtype)
    with torch.inference_mode():
        size, once = _size(device, kind)
        products = max(3, round(seconds / once))
        return 2.0 * size**3 * products / _multiply(*_matrices(device, kind, size), products, device)


def _size(device: str, dtype: torch.dtype) -> tuple[int, float]:
    """The smallest power of two whose product takes long enough, or the largest that there is room for; and its seconds."""
    import torch

    free = torch.cuda.mem_get_info()[0] if device == "cuda" else None
    size = SMALLEST
    while True:
        matrices = _matrices(device, dtype, size)
        _multiply(*matrices, 2, device)  # cuBLAS makes itself ready, clocks rise
        once = _multiply(*matrices, 2, device) / 2
        larger = 3 * (2 * size) ** 2 * dtype.itemsize
        if once >= PRODUCT_SECONDS or size == LARGEST or (free is not None and larger > free / MEMORY_SHARE):
            return size, once
        size *= 2


def _matrices(device: str, dtype: torch.dtype, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two factors and room for the product. Not zeros: a card draws less power, and clocks higher, on those."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return left, right, torch.empty_like(left)


def _multiply(left: torch.Tensor, right: torch.Tensor, product: torch.Tensor, times: int, device: str) -> float:
    """Seconds that so many products take."""
    import torch

    begun = mark_on(device)
    for _ in range(times):
        torch.matmul(left, right, out=product)
    ended = mark_on(device)
    if device == "cuda":
        torch.cuda.synchronize()
    return begun.milliseconds_until(ended) / 1000
