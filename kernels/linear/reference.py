"""Products of a decode step in PyTorch, as the modules of a model compute them.

B rows, K inputs, N outputs.
"""

from torch import Tensor
from torch.nn import functional

from ..gate import gate


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    product = functional.linear(x, weight, bias)
    return product if residual is None else residual + product


def gated(x: Tensor, weight: Tensor) -> Tensor:
    return gate(functional.linear(x, weight))
