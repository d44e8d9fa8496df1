"""The gate of an MLP in PyTorch, as the modules of a model compute it."""

from torch import Tensor
from torch.nn.functional import silu


def gate(both: Tensor) -> Tensor:
    gates, values = both.chunk(2, -1)
    return silu(gates) * values
