"""The gate of an MLP, of gates and values that one product has made.

B rows, N inner channels.
"""

from torch import Tensor

from . import reference

__all__ = ["gate"]


def gate(both: Tensor) -> Tensor:
    """[B, N]: SiLU of the first half of both [B, 2 N], rounded, times the second."""
    if both.is_cuda:
        from . import kernel

        return kernel.gate(both)
    return reference.gate(both)
