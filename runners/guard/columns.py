"""A prompt's keys and values in one tensor, keys turned back to position 0, and the memory that they are again.

A rotation is orthogonal and positions are shared too, so turning back loses nothing; a map of turned keys does the same
to a token wherever it stands.

L layers, H KV heads, S tokens of a prompt, D head dim, F = 2 D.
"""

import torch
from torch import Tensor

from ...methods.scores import turned
from ..forget import Remembered


def columns_of(memory: Remembered, frequencies: Tensor) -> Tensor:
    """[L, H, S, F] float32 of a memory of positions 0, 1, ...; frequencies [D / 2]."""
    keys, values = torch.stack(memory.keys).float(), torch.stack(memory.values).float()
    angle = torch.arange(keys.shape[2], device=keys.device)[:, None] * frequencies
    return torch.cat([turned(keys, angle.cos(), -angle.sin()), values], -1)


def memory_of(columns: Tensor, frequencies: Tensor, dtype: torch.dtype) -> Remembered:
    keys, values = columns.chunk(2, -1)
    angle = torch.arange(columns.shape[2], device=columns.device)[:, None] * frequencies
    keys = turned(keys, angle.cos(), angle.sin())
    return Remembered(keys=list(keys.to(dtype)), values=list(values.to(dtype)))
