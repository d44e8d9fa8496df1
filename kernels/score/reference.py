"""What scores are made of, in PyTorch.

B rows, H KV heads, G query heads per KV head, N slots, W window, D head dim.
"""

import torch
from torch import Tensor

from ..pack import Stored


def mean_softmax(queries: Tensor, keys: Stored, support: Tensor, scale: float | None = None) -> Tensor:
    factor = keys.shape[-1] ** -0.5 if scale is None else scale
    score = torch.zeros(keys.shape[:3], dtype=torch.float32, device=keys.device)
    turned = keys.float().mT
    # a group's query heads one by one: no [Hq, W, N] tensor
    for own in queries.unbind(2):
        logits = (own.float() * factor @ turned).masked_fill_(~support, -torch.inf)
        score += logits.softmax(-1).mean(2)
    return score / queries.shape[2]


def mean_cosine(keys: Stored, support: Tensor) -> Tensor:
    own = keys.float()
    units = (own / (own.norm(dim=-1, keepdim=True) + 1e-8)).masked_fill(~support[..., None], 0)
    num = support.sum(-1, keepdim=True)
    return (units @ units.sum(2)[..., None] - units.square().sum(-1, keepdim=True)).squeeze(-1) / num


def leverage(keys: Stored, values: Stored, projection: Tensor) -> Tensor:
    return (keys.float() @ projection).square().sum(-1) * (values.float() @ projection).square().sum(-1)


def value_range(values: Tensor) -> Tensor:
    return (values.amax(-1) - values.amin(-1)).float()
