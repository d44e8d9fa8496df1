"""What scores are made of and cost: passes over all keys or values of a layer.

`support` marks the slots that count; the others get 0, whatever stands in them.

B rows, H KV heads, G query heads per KV head, N slots, W window, D head dim, R rank of a projection.
"""

from torch import Tensor

from ..pack import Stored
from . import reference

__all__ = ["leverage", "mean_cosine", "mean_softmax", "value_range"]


def mean_softmax(queries: Tensor, keys: Stored, support: Tensor, scale: float | None = None) -> Tensor:
    """[B, H, N] float32: attention of queries [B, H, G, W, D] to keys [B, H, N, D], mean over window and group.

    The softmax of logits times `scale` (None: 1/sqrt(D)) runs over `support` [B, H, 1 or W, N] bool, not empty for any
    query of a row that matters.
    """
    if keys.is_cuda:
        from . import kernel

        return kernel.mean_softmax(queries, keys, support, scale)
    return reference.mean_softmax(queries, keys, support, scale)


def mean_cosine(keys: Stored, support: Tensor) -> Tensor:
    """[B, H, N] float32: mean cosine of a key with the other ones of `support` [B, H, N] bool, in O(N D).

    The mean divides by the number of slots in the support, its own zero counted.
    """
    if keys.is_cuda:
        from . import kernel

        return kernel.mean_cosine(keys, support)
    return reference.mean_cosine(keys, support)


def leverage(keys: Stored, values: Stored, projection: Tensor) -> Tensor:
    """[B, H, N] float32: squared norm of a projected key times that of its value; projection [B, 1, D, R] float32."""
    if keys.is_cuda:
        from . import kernel

        return kernel.leverage(keys, values, projection)
    return reference.leverage(keys, values, projection)


def value_range(values: Tensor) -> Tensor:
    """[B, H, n] float32: max minus min over the channels of a value."""
    if values.is_cuda:
        from . import kernel

        return kernel.value_range(values)
    return reference.value_range(values)
