"""What the benchmarks of kernels share: the sizes of a layer of Qwen3-14B, its memory, and what a case is.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, W window, E hidden size, F size of the MLP.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

B, H, G, D, N, W = 16, 8, 5, 128, 4160, 64
E, F = 5120, 17408
PAGE = 16  # slots
SCALE = D**-0.5
HALF = dict(dtype=torch.bfloat16, device="cuda")


class Case(NamedTuple):
    name: str
    run: Callable[[], object]
    num_bytes: int  # that must move
    check: Callable[[], None]
    beside: str = ""  # another's name, whose time this is a share of


def close(actual: Tensor, expected: Tensor, tolerance: float = 2e-2) -> None:
    torch.testing.assert_close(actual.float(), expected.float(), rtol=tolerance, atol=tolerance)


def memory(rows: int = B, slots: int = N) -> SimpleNamespace:
    return SimpleNamespace(
        keys=torch.randn(rows, H, slots, D, **HALF),
        values=torch.randn(rows, H, slots, D, **HALF),
        positions=torch.arange(slots, dtype=torch.int32, device="cuda").repeat(rows, H, 1),
        mass=torch.zeros(rows, H, slots, device="cuda"),
        rank=torch.zeros(rows, H, slots, dtype=torch.int32, device="cuda"),
        lengths=torch.full((rows, H), slots - 1, dtype=torch.int32, device="cuda"),
        queries=torch.randn(rows, H, G, W, D, **HALF),
        page_min=torch.randn(rows, H, slots // PAGE, D, **HALF),
        page_max=torch.randn(rows, H, slots // PAGE, D, **HALF),
    )


def token_of(rows: int, active: int) -> dict[str, Tensor | int]:
    """What `append` writes."""
    return dict(
        query=torch.randn(rows, H, G, D, **HALF),
        key=torch.randn(rows, H, D, **HALF),
        value=torch.randn(rows, H, D, **HALF),
        position=torch.full((rows,), N, device="cuda"),
        active=torch.full((rows,), active, dtype=torch.int32, device="cuda"),
        page=PAGE,
    )


def num_token_bytes(token: dict) -> int:
    return 2 * sum(token[name].nbytes for name in ("query", "key", "value"))
