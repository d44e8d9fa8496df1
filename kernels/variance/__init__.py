"""How far attention is off on average because some slots were drawn: a variance, from what stayed alone.

Each slot that stayed has a bias, minus the log of its chance to stay. Divided by it, a slot stands on average for
itself and for those like it that went; what hangs on it is what the output would be without it. The variance is the sum
of (1 - chance) |o - without|^2, where o - without = p / (1 - p) (v - o) for a slot of probability p and value v: a
jackknife. The usual linear form has p in place of p / (1 - p), and says too little where few slots have nearly all.

B rows, H KV heads, G query heads per KV head, N slots, D head dim.
"""

from torch import Tensor

from ..attend import Attended
from ..pack import Stored
from . import reference

__all__ = ["variance"]


def variance(
    query: Tensor,
    keys: Stored,
    values: Stored,
    lengths: Tensor,
    attended: Attended,
    *,
    scale: float,
    bias: Tensor,
) -> Tensor:
    """[B, H, G] float32: mean squared distance of the output from that over all slots, its channels together.

    Everything as `attend` took it and gave it; bias [B, H, N] float32, 0 of a slot that was not drawn.
    """
    if query.is_cuda:
        from . import kernel

        return kernel.variance(query, keys, values, lengths, attended, scale, bias)
    return reference.variance(query, keys, values, lengths, attended, scale, bias)
