"""The products of a decode step with what follows them: bias, residual, gate.

One token a row, so a product takes as long as its weight takes to be read. Every step rounds to the dtype of `x`, as a
model's own modules do.

B rows, K inputs, N outputs.
"""

from torch import Tensor

from . import reference

__all__ = ["gated", "linear"]

ROWS = 64  # that the kernel takes; with more a product is less and less bound by its weight, and cuBLAS does it


def linear(x: Tensor, weight: Tensor, *, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """[B, N]: x [B, K] times weight [N, K], plus bias [N], plus residual [B, N]."""
    if x.is_cuda and len(x) <= ROWS:
        from . import kernel

        return kernel.linear(x, weight, bias, residual)
    return reference.linear(x, weight, bias, residual)


def gated(x: Tensor, weight: Tensor) -> Tensor:
    """[B, N]: SiLU of the first half of the products of x [B, K] with weight [2 N, K], times the second half."""
    if x.is_cuda and len(x) <= ROWS:
        from . import kernel

        return kernel.gated(x, weight)
    return reference.gated(x, weight)
