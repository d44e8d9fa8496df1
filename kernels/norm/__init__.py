"""Root mean square norm of one vector a row, rounded as a model's own module rounds.

B rows, E channels.
"""

from typing import NamedTuple

from torch import Tensor

from . import reference

__all__ = ["Norm", "normed"]


class Norm(NamedTuple):
    weight: Tensor  # [E]
    epsilon: float


def normed(x: Tensor, norm: Norm) -> Tensor:
    """x [..., E] over its root mean square, times the weight."""
    if x.is_cuda:
        from . import kernel

        return kernel.normed(x, norm)
    return reference.normed(x, norm)
