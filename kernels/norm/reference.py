"""Root mean square norm in PyTorch, as Qwen3 and Llama do it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from . import Norm


def normed(x: Tensor, norm: "Norm") -> Tensor:
    wide = x.float()
    return norm.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + norm.epsilon)).to(x.dtype)
