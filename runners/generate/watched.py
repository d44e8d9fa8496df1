"""What a model hands to attention, seen by a probe.

S tokens, H KV heads, Hq query heads, D head dim.
"""

from dataclasses import dataclass, field

from torch import Tensor

from ..cache import Shape
from ..model import Attends


@dataclass(kw_only=True)
class Watched:
    """What a model hands to attention."""

    inner: Attends
    shape: Shape
    layers: list[int] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        _, heads, groups, dim, _ = self.shape
        if key.shape[-1] != value.shape[-1]:
            raise ValueError(f"keys have {key.shape[-1]} channels, values {value.shape[-1]}: only equal ones fit")
        sizes = [(part.shape[1], part.shape[3]) for part in (query, key, value)]
        if sizes != [(heads * groups, dim), (heads, dim), (heads, dim)]:
            found = f"{sizes[0][0]} query and {sizes[1][0]} KV heads of {sizes[1][1]}"
            raise ValueError(f"layer {index} has {found}, its config says {heads * groups} and {heads} of {dim}")
        self.layers.append(index)
        self.scales.append(scale)
        return self.inner.attend(index, query, key, value, scale)


@dataclass(kw_only=True)
class Placed:
    """Queries and keys that a model has placed in its sequence; nothing is attended to."""

    tensors: list[Tensor] = field(default_factory=list)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.tensors += [query, key]
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1).transpose(1, 2).contiguous()
