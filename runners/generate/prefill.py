"""The prompt's pass through the model: dense causal attention, and what it leaves for the rows that begin with it.

H KV heads, Hq query heads, G = Hq / H, S tokens of the prompt, D head dim, W window, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..cache import KVCache, Layer
from ..model import Attends, Model, forward
from .teacher import Sees

QUERIES = 128  # prompt queries at a time where their probabilities are needed


@dataclass(kw_only=True)
class Prompt:
    """The prompt that was read last, kept apart from the rows: every draw of it begins with a copy."""

    cache: KVCache  # whose rows it may begin
    sees: Sees = forward
    tokens: Sequence[int] = ()  # none was read
    seen: Tensor = field(init=False)  # [1, V] after it, or what else is seen
    layers: list[Layer] = field(init=False)  # of one row each

    def __post_init__(self) -> None:
        self.layers = self.cache.prompt_layers()

    def read(self, model: Model, tokens: Sequence[int]) -> Tensor:
        """Logits [1, V] after a prompt, or what else is seen; one that was read last is not read again."""
        if list(tokens) != list(self.tokens):
            self.tokens = ()
            self.seen = self.forward(model, tokens)
            self.tokens = tokens
        return self.seen

    def forward(self, model: Model, tokens: Sequence[int], attends: Attends | None = None) -> Tensor:
        """What is seen of the pass, in which the model attends through this, or what hands on to it."""
        device = self.cache.device
        positions = torch.arange(len(tokens), device=device)[None]
        return self.sees(model, torch.tensor([list(tokens)], device=device), positions, attends or self)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        self.fill(index, query[0].unflatten(0, (key.shape[1], -1)), key[0], value[0], scale)
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()  # which families of transformers may view

    @property
    def hears(self) -> bool:
        return self.cache.hears

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [1, S, E]."""
        self.layers[index].hear(states, torch.tensor([states.shape[1] - 1], device=states.device))

    def fill(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> None:
        """query [H, G, S, D], key and value [H, S, D]."""
        length, needs = key.shape[1], self.cache.policy.needs
        self.layers[index].fill(
            0,
            length,
            keys=key,
            values=value,
            positions=torch.arange(length, dtype=torch.int32, device=key.device),
            queries=query,
            mass=prompt_mass(query, key, scale, decay=needs.decay) if needs.mass else 0.0,
            noted=self.cache.notes(key[None], value[None])[0],
        )


def prompt_mass(query: Tensor, key: Tensor, scale: float, count: Tensor | None = None, *, decay: float = 1.0) -> Tensor:
    """[H, S] float32: probability that a token gets from the prompt's queries, summed over them, mean over the group.

    query [H, G, S, D], key [H, S, D]; a block of queries at a time. Of `count` [1], only so many, the first. The last
    of them counts whole, the one before it `decay` times, and so on.
    """
    length = key.shape[1]
    position = torch.arange(length, device=key.device)
    mass = torch.zeros(key.shape[:2], dtype=torch.float32, device=key.device)
    for block in position.split(QUERIES):
        logits = query[:, :, block].float() * scale @ key[:, None].float().mT
        shares = logits.masked_fill(position > block[:, None], -torch.inf).softmax(-1)
        if count is not None:
            shares = shares * (block < count)[:, None]
        if decay != 1:
            ago = (length if count is None else count) - 1 - block
            shares = shares * (decay ** ago.clamp(min=0))[:, None]
        mass += shares.sum(2).mean(1)
    return mass
