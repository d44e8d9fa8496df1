"""The prompt's pass through the model: dense causal attention, and what it leaves for the rows that begin with it.

R prompts of a pass, H KV heads, Hq query heads, G = Hq / H, S tokens of a prompt, D head dim, W window, V tokens of the
vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..cache import KVCache, Layer
from ..model import Attends, Model, forward
from .teacher import Sees

QUERIES = 128  # prompt queries at a time where their probabilities are needed


@dataclass(kw_only=True)
class Prompt:
    """What a pass has read last, kept apart from the rows: every draw of a prompt begins with a copy."""

    cache: KVCache  # whose rows it may begin
    sees: Sees = forward
    most: PositiveInt = 1  # prompts that are kept
    tokens: list[tuple[int, ...]] = field(init=False, default_factory=list)  # of each
    seen: Tensor = field(init=False)  # [R, V] after them, or what else is seen
    layers: list[Layer] = field(init=False)  # of a row a prompt
    _place: int = field(init=False, default=0)  # of the prompt that is read

    def __post_init__(self) -> None:
        self.layers = self.cache.prompt_layers(self.most)

    def read(self, model: Model, *prompts: Sequence[int]) -> None:
        """Where all were read last, none is read again."""
        asked = dict.fromkeys(map(tuple, prompts))
        if asked.keys() - set(self.tokens):
            self.tokens = []
            self.seen = self.forward(model, *asked)
            self.tokens = list(asked)

    def place(self, tokens: Sequence[int]) -> int:
        """Of a prompt that was read last."""
        return self.tokens.index(tuple(tokens))

    def forward(self, model: Model, *prompts: Sequence[int], attends: Attends | None = None) -> Tensor:
        """What is seen of a pass each, in which the model attends through this, or what hands on to it."""
        seen, device = list[Tensor](), self.cache.device
        for self._place, tokens in enumerate(prompts):
            positions = torch.arange(len(tokens), device=device)[None]
            seen.append(self.sees(model, torch.tensor([list(tokens)], device=device), positions, attends or self))
        return torch.cat(seen)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [R, Hq, S, D], key and value [R, H, S, D] -> [R, S, Hq, D]."""
        self.fill(index, query.unflatten(1, (key.shape[1], -1)), key, value, scale)
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()  # which families of transformers may view

    @property
    def hears(self) -> bool:
        return self.cache.hears

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [1, S, E]."""
        last = torch.tensor([states.shape[1] - 1], device=states.device)
        self.layers[index].hear(states, last, slice(self._place, self._place + 1))

    def fill(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> None:
        """query [1, H, G, S, D], key and value [1, H, S, D]."""
        length, needs = key.shape[2], self.cache.policy.needs
        self.layers[index].fill(
            slice(self._place, self._place + 1),
            length,
            keys=key,
            values=value,
            positions=torch.arange(length, dtype=torch.int32, device=key.device)[None, None],
            queries=query,
            mass=prompt_mass(query, key, scale, decay=needs.decay) if needs.mass else 0.0,
            noted=self.cache.notes(key, value),
        )


def prompt_mass(query: Tensor, key: Tensor, scale: float, count: Tensor | None = None, *, decay: float = 1.0) -> Tensor:
    """[R, H, S] float32: probability that a token gets from its prompt's queries, their sum, mean over the group.

    query [R, H, G, S, D], key [R, H, S, D]; a block of queries at a time. Of `count` [R], only so many, the first. The
    last of them counts whole, the one before it `decay` times, and so on.
    """
    length = key.shape[2]
    position = torch.arange(length, device=key.device)
    last = (length if count is None else count[:, None]) - 1
    mass = torch.zeros(key.shape[:3], dtype=torch.float32, device=key.device)
    for block in position.split(QUERIES):
        logits = query[:, :, :, block].float() * scale @ key[:, :, None].float().mT
        shares = logits.masked_fill(position > block[:, None], -torch.inf).softmax(-1)
        ago = (last - block).view(-1, 1, 1, len(block), 1)
        if count is not None:
            shares = shares * (ago >= 0)
        if decay != 1:
            shares = shares * decay ** ago.clamp(min=0)
        mass += shares.sum(3).mean(2)
    return mass
