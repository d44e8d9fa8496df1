"""How many tokens hold most of the attention of a layer, while dense says a text.

A text goes through the model in one causal pass, in which every token attends to what it attends to in the decode loop.
The probabilities of a group of query heads are averaged, as in `Needs.mass`: a slot is kept for all of them.

H KV heads, Hq query heads, G = Hq / H, L layers, Q queries, S tokens, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..generate import Request
from ..model import Model, last_states, own_attention

QUERIES = 64  # at a time


@dataclass(kw_only=True)
class Demand:
    """Of each layer the sum over texts and steps; a model attends through it."""

    rho: float  # the part of the attention that is to be held
    most_steps: int  # of a text that are looked at, evenly spread
    tokens: dict[int, float] = field(default_factory=dict)  # by layer: sums of a mean over heads
    steps: int = 0  # that were looked at in each layer
    prompt: int = 0  # tokens of the text at hand

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        steps = torch.arange(self.prompt, key.shape[2], device=key.device)
        steps = steps[:: -(-len(steps) // self.most_steps) or 1]
        grouped = query[0].unflatten(0, (key.shape[1], -1))
        for at in steps.split(QUERIES):
            needed = tokens_holding(group_probabilities(grouped[:, :, at], key[0], at, scale), self.rho)
            self.tokens[index] = self.tokens.get(index, 0.0) + needed.double().mean(0).sum().item()
        if index == 0:
            self.steps += len(steps)
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()

    @property
    def means(self) -> list[float]:
        """[L] tokens, mean over heads and steps of all texts."""
        return [self.tokens[layer] / self.steps for layer in sorted(self.tokens)]


def group_probabilities(query: Tensor, key: Tensor, at: Tensor, scale: float) -> Tensor:
    """[H, Q, S] float32: of the queries [H, G, Q, D] of positions at [Q] to keys [H, S, D], mean over the group."""
    behind = torch.arange(key.shape[1], device=key.device) > at[:, None]
    logits = query.float() * scale @ key[:, None].float().mT
    return logits.masked_fill_(behind, -torch.inf).softmax(-1).mean(1)


def tokens_holding(probabilities: Tensor, rho: float) -> Tensor:
    """[...] int64: the smallest number of tokens whose probabilities [..., S] sum to `rho` or more."""
    held = probabilities.sort(dim=-1, descending=True).values.cumsum(-1)
    return (held < rho).sum(-1) + 1


@torch.inference_mode()
def measure_demand(model: Model, texts: Sequence[Request], *, rho: float, most_steps: int) -> Demand:
    """Of texts that dense has said: a step for each of their tokens but the last, which no query follows."""
    demand = Demand(rho=rho, most_steps=most_steps)
    with own_attention(model):
        for text in texts:
            demand.prompt = len(text.prompt)
            tokens = torch.tensor([[*text.prompt, *text.completion[:-1]]], device=model.device)
            positions = torch.arange(tokens.shape[1], device=model.device)[None]
            last_states(model, tokens, positions, demand)
    return demand
