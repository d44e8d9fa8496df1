"""A traced state of the cache, shown to any method: what it would have kept there.

H KV heads, G query heads per KV head, N slots, W window, D head dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...kernels import pages
from ...kernels.noise import Noise
from ...methods.policy import LayerView, Policy
from .layer import SLOT_COLUMNS


@dataclass(frozen=True, kw_only=True)
class State:
    """One layer of one row, before a round."""

    round: int
    layer: int
    num_layers: int
    prompt: int  # tokens
    noise: Tensor  # [2]
    positions: Tensor  # [H, N], -1 where not live
    keys: Tensor  # [H, N, D]
    values: Tensor  # [H, N, D]
    queries: Tensor  # [H, G, W, D], oldest first; empty if the traced method asked for none
    mass: Tensor  # [H, N]; likewise
    rank: Tensor  # [H, N]; likewise
    kept: Tensor  # [H, K] positions that the traced method kept, sorted, -1 first where heads differ
    later: Tensor  # [H, G, W, D]: `queries` before the next round; empty if there was none

    @property
    def next(self) -> int:
        """Position of the token after this state's newest."""
        return int(self.positions.max()) + 1

    def lacks(self, policy: Policy) -> list[str]:
        """What the policy asks for and the trace does not hold."""
        needs = policy.needs
        held = {
            "queries": self.queries.numel() > 0 and self.queries.shape[2] >= needs.queries,
            "mass": self.mass.numel() > 0,
            "rank": self.rank.numel() > 0,
        }
        return [name for name, there in held.items() if getattr(needs, name) and not there]

    def view(self, policy: Policy) -> LayerView:
        """As the cache would show it to an eviction under the budget of `policy`."""
        budget, needs, live = policy.budget, policy.needs, self.positions >= 0
        assert budget is not None
        tokens = policy.tokens_at(self.layer, self.num_layers, self.next)
        candidates = live & (self.positions < self.next - budget.recent)
        resident = int(live.sum()) // len(live)
        bounds = pages.bounds(self.keys[None], needs.page) if needs.page else self.keys.new_empty(2, 1, 0, 0, 0)
        return LayerView(
            layer=self.layer,
            num_layers=self.num_layers,
            keys=self.keys[None],
            values=self.values[None],
            positions=self.positions[None],
            live=live[None],
            candidates=candidates[None],
            evictable=(candidates & (self.positions >= budget.protected(self.prompt, tokens)))[None],
            excess=torch.tensor([max(0, resident - (tokens or resident))], dtype=torch.int32),
            round=torch.tensor([self.round], dtype=torch.int32),
            queries=self.queries[None, :, :, self.queries.shape[2] - needs.queries :] if needs.queries else self._none,
            mass=self.mass[None] if needs.mass else self._none,
            rank=self.rank[None] if needs.rank else self._none,
            constants=policy.constants(self.keys[None], self.values[None]),
            page_min=bounds[0],
            page_max=bounds[1],
            noise=Noise(keys=self.noise[None]),
        )

    @property
    def _none(self) -> Tensor:
        return self.keys.new_empty(0)

    def keep(self, policy: Policy) -> Tensor:
        """[H, N] bool: the slots that the policy would keep."""
        return policy.keep(self.view(policy))[0]


def states(file: Path) -> Iterator[State]:
    """Of one traced row, by round and layer."""
    trace = load_file(file)
    nothing = torch.empty(0)
    names = [name.split("/") for name in trace if name.endswith("/keys")]
    num_layers = 1 + max((int(layer) for _, layer, _ in names), default=-1)
    for round, layer in sorted((int(round), int(layer)) for round, layer, _ in names):
        names = (*SLOT_COLUMNS, "queries", "kept")
        parts = {name: trace.get(f"{round}/{layer}/{name}", nothing) for name in names}
        yield State(
            round=round,
            layer=layer,
            num_layers=num_layers,
            prompt=int(trace["prompt"]),
            noise=trace["noise"],
            later=trace.get(f"{round + 1}/{layer}/queries", nothing),
            **parts,
        )
