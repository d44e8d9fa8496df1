# pyright: reportCallIssue=false
"""Root mean square norm in Triton: a program a row.

B rows, E channels.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..overlap import OVERLAP, begin

if TYPE_CHECKING:
    from . import Norm


def normed(x: Tensor, norm: "Norm") -> Tensor:
    x = x.contiguous()
    out, channels = torch.empty_like(x), x.shape[-1]
    block = triton.next_power_of_2(channels)
    norm_row[x.numel() // channels,](
        x,
        norm.weight,
        out,
        norm.epsilon,
        CHANNELS=channels,
        BLOCK=block,
        num_warps=min(16, max(1, block // 256)),
        **OVERLAP,
    )
    return out


@triton.jit
def norm_row(x, weight, out, epsilon, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    channel = tl.arange(0, BLOCK)
    inside, at = channel < CHANNELS, tl.program_id(0).to(tl.int64) * CHANNELS + channel
    scale = tl.load(weight + channel, mask=inside, other=0.0).to(tl.float32)  # no kernel's output
    begin()
    own = tl.load(x + at, mask=inside, other=0.0)
    wide = own.to(tl.float32)
    unit = (wide * tl.rsqrt(tl.sum(wide * wide, 0) / CHANNELS + epsilon)).to(own.dtype).to(tl.float32)
    tl.store(out + at, (unit * scale).to(own.dtype), mask=inside)
