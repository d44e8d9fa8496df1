"""Query, key and value of a decode step from their common product: heads normed and rotated (RoPE).

B rows, Hq query heads, H KV heads, D head dim.
"""

from torch import Tensor

from ..norm import Norm
from . import reference

__all__ = ["rotate"]


def rotate(
    joined: Tensor, cos: Tensor, sin: Tensor, heads: tuple[int, int], query: Norm | None, key: Norm | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Query [B, Hq, D], key and value [B, H, D] from joined [B, (Hq + 2 H) D] and cos, sin [B, D]; heads is (Hq, H).

    Queries and keys are normed head by head where `query` and `key` say how; values are as they were.
    """
    if joined.is_cuda:
        from . import kernel

        return kernel.rotate(joined, cos, sin, heads, query, key)
    return reference.rotate(joined, cos, sin, heads, query, key)
