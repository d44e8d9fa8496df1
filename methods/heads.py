"""Which of a layer's KV heads a view shows: all, or those of one rank of a model that is split over several devices.

A rule that looks at one head after the other never asks. One that reduces over heads, or lets them compete, asks for
what the others hold (`of_all`), decides for all, and takes its own part (`own`). Noise is keyed by `first`, so a head
draws what it draws on one device.

B rows, H KV heads of a view, A KV heads of the layer.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Heads:
    """All of them."""

    first: int = 0  # number of the view's first head in its layer
    ranks: int = 1  # that share the layer's heads, as many each

    def of_all(self, part: Tensor) -> Tensor:
        """[B, A, ...] in the order of the heads, of what each rank has of it, [B, H, ...]."""
        return part

    def own(self, whole: Tensor) -> Tensor:
        """[B, H, ...] of [B, A, ...]."""
        return whole

    def total(self, part: Tensor) -> Tensor:
        """The sum of the ranks' tensors."""
        return part


ALL = Heads()
