"""ReasonAlloc: slots go where attention is spread out, by layer as measured once, by head as the scores are now.

2026, arXiv 2606.11164; no code of its authors is known, so this is reconstructed. A demand d becomes shares of
d**gamma, cut to 0.25 and 2 times their mean, scaled to the budget and rounded so that the sum is exact.

Layers: d is the smallest number of tokens that hold 93 % of the attention, mean over heads and steps of a few dense
completions (`kvarena-profile`). No layer has fewer than recent + sinks + 1 slots. While the sequence is shorter than
the largest layer's budget, all are as much nearer to the mean, as in `pyramid.py`.

Heads: every `period` decode steps d is how many of a layer's best scores are a head's, all heads ranked together; until
then a head keeps as many as it has. Every head is granted `mu` of an even share, which the lowest scores of the others
give. With gamma 1 and no cut, at every round, this is AdaKV of alpha = mu.

Deviations, or what no reader of the paper says: heads are KV heads, and attention is the mean of a group's; recent and
protected slots do not compete; slots that a head does not hold go to the best scores of the others.

B rows, L layers, H KV heads of a view, A KV heads of the layer, N slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .allocation import Allocation
from .competitors import Competitors
from .policy import Eviction, LayerView
from .shares import raised, robust_shares, whole_slots


@dataclass(frozen=True, kw_only=True)
class ReasonAlloc(Allocation):
    profile: str | None = None  # where the demand was read, by the config
    demand: Sequence[float] | None = None  # [L] of each layer, in any unit; None: layers are alike
    heads: bool = True  # whether heads compete; false: all of a layer keep as many
    period: int = 128  # decode steps between two looks at what heads demand
    gamma: float = 0.5  # 0: alike, 1: by demand
    least: float = 0.25  # no share is below so many times the mean, before they are scaled
    most: float | None = 2.0  # nor above; None: no such bound
    mu: float = 0.25  # part of an even share that every head is granted

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma", "least", "mu"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"method.{name}={value}: use a number from 0 to 1")
        if self.most is not None and self.most < 1:
            raise ValueError(f"method.most={self.most}: use 1 or more times the mean, or null for no bound")
        if self.demand is not None and not all(each > 0 for each in self.demand):
            raise ValueError(f"method.demand={list(self.demand)}: each layer demands more than 0")
        if self.demand is not None and self.budget.share is not None:
            raise ValueError(f"budget.share={self.budget.share}: layers share out a number of slots; use null")
        if self.demand is not None and self.budget.layers is not None:
            raise ValueError(f"budget.tokens={list(self.budget.layers)}: use one number, demand shares it out")
        if self.demand is not None and type(self.of).tokens is not Eviction.tokens:
            name = type(self.of).__name__
            raise ValueError(f"method.of={name} has budgets by layer of its own: use method.profile=null")
        if self.heads:
            self._check_heads()

    def _check_heads(self) -> None:
        of, interval = type(self.of).__name__, self.budget.interval
        if self.of.uneven:
            raise ValueError(f"method.of={of}: its heads compete already; use its own method.of, or method.heads=false")
        if self.of.same_heads:
            raise ValueError(f"method.of={of} has heads that hold alike: use another method, or method.heads=false")
        if interval and (self.period < 1 or self.period % interval):
            raise ValueError(f"method.period={self.period}: use a multiple of the {interval} steps between evictions")

    @property
    def uneven(self) -> bool:
        return self.heads or self.of.uneven

    def tokens(self, layer: int, num_layers: int) -> int:
        return self.of.tokens(layer, num_layers) if self.demand is None else self._layers(num_layers)[layer]

    def tokens_at(self, layer: int, num_layers: int, length: int, prompt: int = 0) -> int:
        if self.demand is None:
            return self.of.tokens_at(layer, num_layers, length, prompt)
        return nearer_to_mean(self._layers(num_layers), self.budget.tokens, length)[layer]

    def _layers(self, num_layers: int) -> tuple[int, ...]:
        """[L] slots of a head."""
        demand, rule = tuple(self.demand or ()), (self.gamma, self.least, self.most)
        if len(demand) != num_layers:
            raise ValueError(
                f"method.profile is of {len(demand)} layers, the model has {num_layers}: give its own, or null"
            )
        return layer_budgets(demand, self.budget.tokens, self.budget.recent + self.budget.sinks + 1, *rule)

    def capacity(self, layer: int, num_layers: int, longest_prompt: int) -> int | None:
        return None if self.uneven else super().capacity(layer, num_layers, longest_prompt)

    def keep(self, view: LayerView) -> Tensor:
        if not self.heads:
            return self.of.keep(view)
        layer = Competitors.of(self.score(view), view)
        heads = layer.live.shape[1]
        left = layer.evictable.sum((1, 2)) - heads * view.excess
        granted = layer.highest((self.mu * (left // heads)).long()[:, None])
        held = (layer.evictable.sum(-1) - view.excess[:, None]).clamp(min=0)
        due = view.round % max(1, self.period // max(1, self.budget.interval)) == 0
        slots = torch.where(due[:, None], self._heads(layer, left), held)
        return view.heads.own(layer.competed(granted, layer.highest(slots)))

    def _heads(self, layer: Competitors, left: Tensor) -> Tensor:
        """[B, A] evictable slots of each head, `left` [B] in all: by how many of the best scores are its own."""
        lowest = layer.lowest_of_all(layer.evictable, layer.live.shape[1] * layer.excess)
        demand = (layer.evictable & ~lowest).sum(-1)
        shares = robust_shares(demand, gamma=self.gamma, least=self.least, most=self.most)
        return whole_slots(shares * left[:, None], left)


@lru_cache(maxsize=64)
def layer_budgets(
    demand: tuple[float, ...], tokens: int, low: int, gamma: float, least: float, most: float | None
) -> tuple[int, ...]:
    """[L] of at least `low` slots, `tokens` on average."""
    total = len(demand) * tokens
    shares = robust_shares(torch.tensor(demand), gamma=gamma, least=least, most=most)
    return tuple(whole_slots(raised(shares, low / total) * total, torch.tensor(total)).tolist())


@lru_cache(maxsize=1024)
def nearer_to_mean(layers: tuple[int, ...], tokens: int, length: int) -> tuple[int, ...]:
    """[L] for a sequence of so many tokens: the largest layer holds it all, the others differ from the mean as less."""
    most = max(layers)
    if length >= most or most == tokens:
        return layers
    apart = torch.tensor(layers, dtype=torch.float64) - tokens
    parts = apart * max(length - tokens, 0) / (most - tokens)
    return tuple((tokens + whole_slots(parts, torch.tensor(0))).tolist())
