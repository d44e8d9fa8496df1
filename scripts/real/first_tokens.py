"""How much of what the DKV methods keep tokens by the first ones have: the squared norms of keys and of values.

H KV heads, Hq query heads, S tokens of a text, D head dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from dense_texts import Work
from kvarena.runners.model import forward, own_attention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

FIRST, LOW = 8, 0.1  # positions, and what part of a text's tokens counts as the lowest


@dataclass(kw_only=True)
class Norms:
    """Dense causal attention that keeps the squared norms of every key and value it sees."""

    layers: list[Tensor] = field(default_factory=list)  # [L] of [2, H, S]

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        self.layers.append(torch.stack([key[0], value[0]]).float().square().sum(-1))
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()


def first_tokens(work: Work) -> Iterator[dict[str, object]]:
    """A row a quantity and position, over texts, layers and heads; leverage is the key's times the value's."""
    found = []
    for text in work.texts:
        seen, ids = Norms(), torch.tensor([[*text.prompt, *text.completion]], device=work.model.device)
        with torch.inference_mode(), own_attention(work.model):
            forward(work.model, ids, torch.arange(ids.shape[1], device=ids.device)[None], seen)
        keys, values = torch.stack(seen.layers, 1)
        found.append(torch.stack([share_below(each) for each in (keys * values, keys, values)]).flatten(1, 2))
    shares = torch.cat(found, 1)
    for name, quantity in zip(("leverage", "key", "value"), shares, strict=True):
        for position, share in enumerate(quantity.T):
            means = {"below": share, "in_lowest_tenth": share < LOW, "lowest": share == 0}
            means = {name: round(each.double().mean().item(), 4) for name, each in means.items()}
            yield {"quantity": name, "position": position, "heads": len(share), **means}


def share_below(quantity: Tensor) -> Tensor:
    """quantity [L, H, S] -> [L, H, FIRST]: what part of a text's tokens has less than each of its first has."""
    return (quantity[..., None, :] < quantity[..., :FIRST, None]).double().mean(-1)
