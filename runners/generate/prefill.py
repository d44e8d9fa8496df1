"""The prompt's pass through the model: dense causal attention, and the first filling of a cache row.

H KV heads, Hq query heads, G = Hq / H, S tokens of the prompt, D head dim, W window, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..cache import KVCache
from ..model import Model, forward

QUERIES = 128  # prompt queries at a time where their probabilities are needed


@dataclass(frozen=True, kw_only=True)
class Prefill:
    cache: KVCache
    row: int  # already admitted

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        layer, length = self.cache.layers[index], key.shape[2]
        grouped = query[0].unflatten(0, (key.shape[1], -1))
        layer.fill(
            self.row,
            length,
            keys=key[0],
            values=value[0],
            positions=torch.arange(length, dtype=torch.int32, device=key.device),
            queries=grouped,
            mass=prompt_mass(grouped, key[0], scale) if self.cache.policy.needs.mass else 0.0,
        )
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2)


def prefill(model: Model, prompt: Sequence[int], cache: KVCache, row: int) -> Tensor:
    """Logits [1, V] after a prompt, whose row of the cache has been admitted."""
    tokens = torch.tensor([list(prompt)], device=cache.device)
    positions = torch.arange(len(prompt), device=cache.device)[None]
    return forward(model, tokens, positions, Prefill(cache=cache, row=row))


def prompt_mass(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """[H, S] float32: probability that a token gets from the prompt's queries, summed over them, mean over the group.

    query [H, G, S, D], key [H, S, D]; a block of queries at a time.
    """
    length = key.shape[1]
    position = torch.arange(length, device=key.device)
    mass = torch.zeros(key.shape[:2], dtype=torch.float32, device=key.device)
    for block in position.split(QUERIES):
        logits = query[:, :, block].float() * scale @ key[:, None].float().mT
        mass += logits.masked_fill(position > block[:, None], -torch.inf).softmax(-1).sum(2).mean(1)
    return mass
