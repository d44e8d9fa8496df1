"""The KV cache: the only memory, and its only writer.

A layer is a set of preallocated columns [B, H, N, ...]; an eviction permutes them in place. Rows are independent: each
has its own prompt, lengths and clock, and leaves when it ends.

B rows, L layers, H KV heads, G query heads per KV head, N slots (the capacity), W window, P pages, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..kernels import attend, evict
from ..kernels.append import append
from ..kernels.noise import Noise
from ..methods.policy import Eviction, LayerView, Policy
from .attention import Attention, Own
from .clock import Clock
from .layer import Layer, Shape
from .reading import Reading

GROWTH = 1024  # slots that a layer without a bound has room for beside the prompt, before it grows


class Usage(NamedTuple):
    """What a row has cost."""

    num_evictions: int
    peak_slots: float  # per KV head, mean over layers
    mean_slots: float  # the same, mean over steps
    tokens_read: float  # slots that a step attends to: mean over steps, layers and heads
    resident_bytes: int  # at the peak


class Facts(NamedTuple):
    """What views of the same rows have in common over the layers."""

    at: slice | Tensor  # which rows of the cache
    noise: Noise
    round: Tensor  # [B] int32, like all that follow
    recent: Tensor  # positions from here on are recent
    position: Tensor  # of the next token
    protected: Sequence[Tensor]  # [L] of [B]: positions below are
    excess: Sequence[Tensor]  # [L] of [B]


@dataclass(kw_only=True)
class KVCache:
    """Memory for `batch_size` rows of one model under one policy; `longest` counts prompt and completion.

    The host counts (`clocks`), the device computes: a step asks the host nothing, so it can be captured in a CUDA graph
    and replayed several times before the clocks follow (`advance`, then `count`).
    """

    policy: Policy
    shape: Shape
    batch_size: int
    longest_prompt: int
    longest: int
    dtype: torch.dtype
    device: torch.device
    attention: Attention = field(default_factory=Own)
    layers: list[Layer] = field(init=False)
    clocks: list[Clock | None] = field(init=False)  # None: idle
    ahead: int = field(init=False, default=1)  # steps that may be taken before the clocks follow

    def __post_init__(self) -> None:
        slots = min(self.longest, max(self.longest_prompt + GROWTH, GROWTH))
        self.layers = [
            Layer.empty(self.policy, self.shape, self.batch_size, self.room(layer, slots), self.dtype, self.device)
            for layer in range(self.shape.layers)
        ]
        self.clocks = [None] * self.batch_size
        self.positions = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)  # of the next token
        self.active = torch.zeros(self.batch_size, dtype=torch.int32, device=self.device)  # 1: the row grows
        self.noise = Noise(keys=torch.zeros(self.batch_size, 2, dtype=torch.int64, device=self.device))
        self._read = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)  # slots, by a selection

    def capacity(self, layer: int) -> int:
        """Slots per KV head that a layer may fill."""
        return self.room(layer, self.longest)

    def room(self, layer: int, slots: int) -> int:
        """Slots of a layer of which so many can be filled: fewer where the policy is bounded."""
        bound = self.policy.capacity(layer, self.shape.layers, self.longest_prompt)
        return slots if bound is None else min(bound, self.longest)

    def reserve(self) -> bool:
        """Make room for the steps ahead where layers grow with the sequence; says whether memory has moved."""
        moved = False
        for index, layer in enumerate(self.layers):
            slots, most = layer.keys.shape[2], self.capacity(index)
            if slots < most and (needed := min(self._longest(index), most)) > slots:
                layer.grow(min(most, max(needed, 2 * slots)), self.policy.needs)
                moved = True
        return moved

    def _longest(self, index: int) -> int:
        """Slots that no head of the layer exceeds in the steps ahead."""
        return max(clock.longest(index) if clock else 0 for clock in self.clocks) + self.ahead

    # prompt

    def admit(self, row: int, prompt: int, key: tuple[int, int]) -> None:
        """Give an idle row to a prompt of so many tokens; `Prefill` then fills it."""
        assert self.clocks[row] is None
        self.clocks[row] = Clock(policy=self.policy, num_layers=self.shape.layers, prompt=prompt)
        self.noise.keys[row] = torch.tensor(key, device=self.device)
        self.positions[row], self.active[row], self._read[row] = prompt, 1, 0
        for layer in self.layers:
            layer.lengths[row] = prompt
            layer.positions[row] = -1
            layer.values[row] = 0  # a row that broke leaves NaN, and 0 weight times NaN is NaN

    # decode

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Append one new token a row, then attend. query [B, Hq, 1, D], key, value [B, H, 1, D] -> [B, 1, Hq, D]."""
        layer, grouped, page = self.layers[index], query.reshape(self.batch_size, *self.shape[1:]), self.policy.page
        lengths = append(
            layer,
            query=grouped,
            key=key.squeeze(2),
            value=value.squeeze(2),
            position=self.positions,
            active=self.active,
            page=page,
        )
        chosen = self.policy.read(grouped, self._reading(index, lengths)) if self.policy.selects else None
        longest = min(self._longest(index), layer.keys.shape[2])
        output, lse = self.attention(
            grouped, layer.keys, layer.values, lengths, longest=longest, scale=scale, pages=chosen, page=page
        )
        if layer.mass.numel():
            attend.add_mass(layer.mass, grouped, layer.keys, lengths, lse, scale=scale)
        if self.policy.selects:
            slots = layer.keys.shape[2]
            attend.add_reads(self._read, lengths, self.active, pages=chosen, page=page, num_slots=slots)
        return output.view(self.batch_size, 1, -1, self.shape.dim)

    def _reading(self, index: int, lengths: Tensor) -> Reading:
        """What a selection sees, its new token included."""
        return Reading(
            memory=self.layers[index],
            policy=self.policy,
            layer=index,
            num_layers=self.shape.layers,
            lengths=lengths,
            position=self.positions,
            noise=self.noise,
        )

    def advance(self, going: Tensor | None = None) -> None:
        """Close a step on the device: every active row is one token longer; it stays active where `going` [B]."""
        self.positions += self.active
        if going is not None:
            self.active *= going

    def count(self, row: int, steps: int = 1) -> None:
        """Close steps of a row on the host."""
        self.clocks[row].step(steps)

    # eviction

    def due(self) -> list[int]:
        return [row for row, clock in enumerate(self.clocks) if clock and clock.due]

    def evict(self, rows: Sequence[int]) -> None:
        """One round for these rows, in all layers."""
        self.drop(torch.tensor(rows, device=self.device), self.numbers(rows).to(self.device))
        self.evicted(rows)

    def evicted(self, rows: Sequence[int]) -> None:
        """Close a round on the host."""
        for row in rows:
            self.clocks[row].evicted()

    def drop(self, at: Tensor, numbers: Tensor) -> None:
        """A round on the device for rows `at` [R], whose `numbers` [R, ...] the host has written.

        All rows, in their order, are seen in place; fewer are copied.
        """
        policy = cast(Eviction, self.policy)  # of no other is a row ever due
        plain = type(policy).keep is Eviction.keep  # its rule in one kernel
        facts = self.facts_of(slice(None) if len(at) == self.batch_size else at, numbers)
        for index, layer in enumerate(self.layers):
            view = self.view(index, facts)
            # a policy with a rule of its own scores for itself
            score = policy.score(view) if plain or policy.needs.rank else torch.empty(0)
            keep = torch.empty(0) if plain else policy.keep(view)
            if policy.needs.rank:
                due = view.excess[:, None, None] > 0
                layer.rank[facts.at] = torch.where(due, policy.place(view, score), view.rank)
            if plain:
                evict.drop(
                    layer.columns,
                    layer.lengths,
                    at,
                    score=score,
                    positions=view.positions,
                    evictable=view.evictable,
                    excess=view.excess,
                )
            else:
                evict.compact(layer.columns, layer.lengths, at, keep)

    def numbers(self, rows: Sequence[int]) -> Tensor:
        """[R, 3 + 2 L] int32, on the host: what a round needs to know of these rows."""
        budget, layers = self.policy.budget if self.policy.evicts else None, range(self.shape.layers)
        idle = Clock(policy=self.policy, num_layers=self.shape.layers, prompt=0)
        clocks = [self.clocks[row] or idle for row in rows]
        return torch.tensor(
            [
                (
                    clock.round,
                    clock.position - budget.recent if budget else clock.position,
                    clock.position,
                    *(clock.protected(layer) for layer in layers),
                    *(clock.excess(layer) for layer in layers),
                )
                for clock in clocks
            ],
            dtype=torch.int32,
        )

    def facts(self, rows: Sequence[int] | None = None) -> Facts:
        """What views of these rows, or of all, have in common over the layers."""
        rows = range(self.batch_size) if rows is None else rows
        return self.facts_of(torch.tensor(list(rows), device=self.device), self.numbers(rows).to(self.device))

    def facts_of(self, at: slice | Tensor, numbers: Tensor) -> Facts:
        round, recent, position, *rest = numbers.unbind(1)
        protected, excess = rest[: self.shape.layers], rest[self.shape.layers :]
        return Facts(at, Noise(keys=self.noise.keys[at]), round, recent, position, protected, excess)

    def view(self, index: int, facts: Facts) -> LayerView:
        """What a policy sees of a layer."""
        layer, at = self.layers[index], facts.at
        live = torch.arange(layer.keys.shape[2], device=self.device) < layer.lengths[at][..., None]
        positions = layer.positions[at].masked_fill(~live, -1)
        candidates = live & (positions < facts.recent[:, None, None])
        evictable = candidates & (positions >= facts.protected[index][:, None, None])
        keys, values = layer.keys[at], layer.values[at]
        return LayerView(
            layer=index,
            num_layers=self.shape.layers,
            keys=keys,
            values=values,
            positions=positions,
            live=live,
            candidates=candidates,
            evictable=evictable,
            excess=facts.excess[index],
            round=facts.round,
            queries=layer.newest_queries(at, facts.position),
            mass=layer.mass[at],
            rank=layer.rank[at],
            constants=self.policy.constants(keys, values),
            page_min=layer.page_min[at],
            page_max=layer.page_max[at],
            noise=facts.noise,
        )

    # end

    def release(self, row: int) -> Usage:
        """The row is done: its account, and the row free for the next prompt."""
        clock = self.clocks[row]
        read = clock.mean_slots
        if self.policy.selects and clock.steps:
            read = self._read[row].item() / (clock.steps * self.shape.layers * self.shape.heads)
        slot_bytes = sum(layer.slot_bytes for layer in self.layers)
        self.clocks[row] = None
        self.positions[row] = self.active[row] = 0
        for layer in self.layers:
            layer.lengths[row] = 0
        return Usage(
            num_evictions=clock.round,
            peak_slots=clock.peak_slots,
            mean_slots=clock.mean_slots,
            tokens_read=read,
            resident_bytes=round(clock.peak_slots * slot_bytes) + sum(layer.row_bytes for layer in self.layers),
        )
