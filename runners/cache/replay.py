"""A traced state of the cache, shown to any method: what it would have kept there.

H KV heads, G query heads per KV head, N slots, W window, D head dim.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...kernels.noise import Noise
from ...methods.policy import LayerView, Policy
from .clock import Clock
from .layer import COLUMNS, Layer
from .room import Room
from .round_facts import RoundFacts
from .shape import Shape
from .trace import TRACED
from .views import view_of


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
    decay: float = 1.0  # of the mass
    # [H, N]; empty unless the traced method asked
    bias: Tensor = field(default_factory=lambda: torch.empty(0))
    remembered: Tensor = field(default_factory=lambda: torch.empty(0))
    last_used: Tensor = field(default_factory=lambda: torch.empty(0))
    longest_gap: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def next(self) -> int:
        """Position of the token after this state's newest."""
        return int(self.positions.max()) + 1

    def lacks(self, policy: Policy) -> list[str]:
        """What the policy asks for and the trace does not hold."""
        room = self._room(policy)
        asked = {name: COLUMNS[name].size(room) for name in TRACED}
        lacking = [name for name, size in asked.items() if math.prod(size) and getattr(self, name).shape[1:] < size]
        from_model = {"output projection": policy.needs.output, "rotation": policy.needs.rotation}
        from_model |= {"attention module": policy.needs.module, "hidden states": policy.needs.hidden > 0}
        lacking += [name for name, needed in from_model.items() if needed]
        if policy.needs.mass and policy.needs.decay != self.decay and "mass" not in lacking:
            lacking.append(f"mass of decay {policy.needs.decay}")
        return lacking

    def view(self, policy: Policy) -> LayerView:
        """As the cache would show it to an eviction under the budget of `policy`."""
        layer = Layer.empty(self._room(policy), 1, self.keys.dtype, self.keys.device)
        layer.fill(slice(None), self.next, **{name: getattr(self, name)[None] for name in TRACED})
        clock = Clock(policy=policy, num_layers=self.num_layers, prompt=self.prompt)
        clock.position, clock.round = self.next, self.round
        clock.resident[self.layer] = int(layer.lengths.sum()) // len(self.keys)
        packed = RoundFacts.pack([clock]).to(self.keys.device)
        facts = RoundFacts.unpack(packed, slice(None), Noise(keys=self.noise[None]))
        return view_of(layer, self.layer, policy, facts)

    def _room(self, policy: Policy) -> Room:
        heads, slots, dim = self.keys.shape
        groups = self.queries.shape[1] if self.queries.numel() else 1
        return Room(shape=Shape(self.num_layers, heads, groups, dim), needs=policy.needs, slots=slots)

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
        parts = {name: trace.get(f"{round}/{layer}/{name}", nothing) for name in (*TRACED, "kept")}
        yield State(
            round=round,
            layer=layer,
            num_layers=num_layers,
            prompt=int(trace["prompt"]),
            noise=trace["noise"],
            later=trace.get(f"{round + 1}/{layer}/queries", nothing),
            decay=trace["decay"].item() if "decay" in trace else 1.0,
            **parts,
        )
