"""What the attention of every layer sees of a text that dense has said: one causal pass.

H KV heads, G query heads per KV head, S tokens, D head dim, C blocks of queries.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..generate import Request
from ..model import Model, last_states, own_attention
from ..profile.demand import group_probabilities


class Seen(NamedTuple):
    """By one layer."""

    queries: Tensor  # [H, G, S, D]
    keys: Tensor  # [H, S, D]
    values: Tensor  # [H, S, D]
    scale: float

    def probabilities(self, at: Tensor) -> Tensor:
        """[H, Q, S] float32: what the queries of positions at [Q] attend to, mean over the group."""
        return group_probabilities(self.queries[:, :, at], self.keys, at, self.scale)

    def later(self, start: int, width: int) -> Tensor:
        """[C, H, S]: the same from `start` on, mean over each block of `width` queries, the last of which has fewer."""
        blocks = torch.arange(start, self.keys.shape[1], device=self.keys.device).split(width)
        return torch.stack([self.probabilities(at).sum(1) / width for at in blocks])


@dataclass(kw_only=True)
class Recorder:
    """A model attends through it."""

    layers: list[Seen] = field(default_factory=list)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        assert index == len(self.layers)
        self.layers.append(Seen(query[0].unflatten(0, (key.shape[1], -1)), key[0], value[0], scale))
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()


@torch.inference_mode()
def seen_of(model: Model, text: Request) -> list[Seen]:
    """[L] of a prompt and of what was said to it but its last token, which no query follows."""
    recorder, said = Recorder(), text.completion or ()
    tokens = torch.tensor([[*text.prompt, *said[:-1]]], device=model.device)
    with own_attention(model):
        last_states(model, tokens, torch.arange(tokens.shape[1], device=model.device)[None], recorder)
    return recorder.layers
