"""The KV cache: the only memory, and its only writer.

A layer is a set of preallocated columns [B, H, N, ...]; an eviction permutes them in place. Rows are independent: each
has its own prompt, lengths and clock, and leaves when it ends.

B rows, L layers, H KV heads, G query heads per KV head, N slots (the capacity), W window, P pages, C constants, D head
dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..kernels import attend, evict
from ..kernels.append import append
from ..kernels.noise import Noise
from ..methods.policy import LayerView, Policy
from .clock import Clock
from .layer import Layer, Shape


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
    protected: Tensor  # positions below are
    position: Tensor  # of the next token
    excess: list[Tensor]  # [L] of [B]


@dataclass(kw_only=True)
class KVCache:
    """Memory for `batch_size` rows of one model under one policy; `longest` counts prompt and completion."""

    policy: Policy
    shape: Shape
    batch_size: int
    longest_prompt: int
    longest: int
    dtype: torch.dtype
    device: torch.device
    layers: list[Layer] = field(init=False)
    clocks: list[Clock | None] = field(init=False)  # None: idle

    def __post_init__(self) -> None:
        self.layers = [
            Layer.empty(self.policy, self.shape, self.batch_size, self.capacity(layer), self.dtype, self.device)
            for layer in range(self.shape.layers)
        ]
        self.clocks = [None] * self.batch_size
        self.noise = Noise(keys=torch.zeros(self.batch_size, 2, dtype=torch.int64, device=self.device))
        self._read = torch.zeros(self.batch_size, dtype=torch.float64, device=self.device)  # selections only
        self._sync()

    def capacity(self, layer: int) -> int:
        """Slots per KV head that a layer may fill."""
        slots = self.policy.capacity(layer, self.shape.layers, self.longest_prompt)
        return self.longest if slots is None else min(slots, self.longest)

    def _sync(self) -> None:
        """Tell the device what the host knows of the rows: which live, where the next token stands."""
        self._active = torch.tensor([c is not None for c in self.clocks], dtype=torch.int32, device=self.device)
        self.positions = torch.tensor([c.position if c else 0 for c in self.clocks], device=self.device)
        self._facts = self.facts() if self.policy.selects else None  # for the reads of every layer's next step

    # prompt

    def admit(self, row: int, prompt: int, key: tuple[int, int]) -> None:
        """Give an idle row to a prompt of so many tokens; `Prefill` then fills it."""
        assert self.clocks[row] is None
        self.clocks[row] = Clock(policy=self.policy, num_layers=self.shape.layers, prompt=prompt)
        self.noise.keys[row] = torch.tensor(key, device=self.device)
        self._read[row] = 0
        for layer in self.layers:
            layer.lengths[row] = prompt
            layer.values[row] = 0  # a row that broke leaves NaN, and 0 weight times NaN is NaN
        self._sync()

    # decode

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Append one new token a row, then attend. query [B, Hq, 1, D], key, value [B, H, 1, D] -> [B, 1, Hq, D]."""
        layer, grouped = self.layers[index], query.view(self.batch_size, *self.shape[1:])
        page = self.policy.needs.page
        lengths = append(
            layer,
            query=grouped,
            key=key.squeeze(2),
            value=value.squeeze(2),
            constants=self.policy.constants(key, value).squeeze(2),
            position=self.positions,
            active=self._active,
            page=page,
        )
        chosen = self.policy.read(grouped, self.view(index, self._facts)) if self._facts else None
        longest = max(clock.resident[index] + 1 if clock else 1 for clock in self.clocks)
        output, lse, reads = attend.attend(
            grouped, layer.keys, layer.values, lengths, longest=longest, scale=scale, pages=chosen, page=page
        )
        if layer.mass.numel():
            attend.add_mass(layer.mass, grouped, layer.keys, lengths, lse, scale=scale)
        if self.policy.selects:
            self._read += self._num_read(layer, reads)
        return output.view(self.batch_size, 1, -1, self.shape.dim)

    def _num_read(self, layer: Layer, reads: Tensor | None) -> Tensor:
        """[B] slots read in this layer, mean over KV heads; one that several query heads read counts once."""
        if reads is None:
            return layer.lengths.double().mean(-1)
        live = torch.arange(reads.shape[-1], device=self.device) < layer.lengths[..., None]
        return (reads.any(2) & live).sum(-1).double().mean(-1)

    def advance(self) -> None:
        """Close a decode step: every live row is one token longer."""
        for clock in self.clocks:
            if clock:
                clock.step()
        self._sync()

    # eviction

    def due(self) -> list[int]:
        return [row for row, clock in enumerate(self.clocks) if clock and clock.due]

    def evict(self, rows: Sequence[int]) -> None:
        """One round for these rows, in all layers."""
        facts, due = self.facts(rows), torch.tensor(rows, device=self.device)
        for index, layer in enumerate(self.layers):
            keep = self.policy.keep(self.view(index, facts))
            evict.compact(layer.columns, layer.lengths, due, keep)
        for row in rows:
            self.clocks[row].evicted()

    def facts(self, rows: Sequence[int] | None = None) -> Facts:
        """What views of these rows, or of all, have in common over the layers."""
        clocks = self.clocks if rows is None else [self.clocks[row] for row in rows]
        alive = [clock or Clock(policy=self.policy, num_layers=self.shape.layers, prompt=0) for clock in clocks]
        budget = self.policy.budget if self.policy.evicts else None
        numbers = torch.tensor(
            [
                (
                    clock.round,
                    clock.position - budget.recent if budget else clock.position,
                    budget.protected(clock.prompt) if budget else 0,
                    clock.position,
                    *(clock.excess(layer) for layer in range(self.shape.layers)),
                )
                for clock in alive
            ],
            dtype=torch.int32,
            device=self.device,
        )
        # a slice copies nothing
        at = slice(None) if rows is None else torch.tensor(rows, device=self.device)
        round, recent, protected, position, *excess = numbers.unbind(1)
        return Facts(at, Noise(keys=self.noise.keys[at]), round, recent, protected, position, excess)

    def view(self, index: int, facts: Facts) -> LayerView:
        """What a policy sees of a layer."""
        layer, at = self.layers[index], facts.at
        live = torch.arange(layer.keys.shape[2], device=self.device) < layer.lengths[at][..., None]
        positions = layer.positions[at].masked_fill(~live, -1)
        candidates = live & (positions < facts.recent[:, None, None])
        evictable = candidates & (positions >= facts.protected[:, None, None])
        queries = layer.queries[at]
        if queries.numel():
            window = torch.arange(queries.shape[3], device=self.device)
            oldest_first = (facts.position[:, None] + window) % queries.shape[3]
            queries = queries.gather(3, oldest_first[:, None, None, :, None].expand_as(queries))
        return LayerView(
            layer=index,
            num_layers=self.shape.layers,
            keys=layer.keys[at],
            values=layer.values[at],
            positions=positions,
            live=live,
            candidates=candidates,
            evictable=evictable,
            excess=facts.excess[index],
            round=facts.round,
            queries=queries,
            mass=layer.mass[at],
            rank=positions[..., :0],
            constants=layer.constants[at],
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
            read = self._read[row].item() / (clock.steps * self.shape.layers)
        slot_bytes = sum(layer.slot_bytes for layer in self.layers)
        self.clocks[row] = None
        for layer in self.layers:
            layer.lengths[row] = 0
        self._sync()
        return Usage(
            num_evictions=clock.round,
            peak_slots=clock.peak_slots,
            mean_slots=clock.mean_slots,
            tokens_read=read,
            resident_bytes=round(clock.peak_slots * slot_bytes) + sum(layer.row_bytes for layer in self.layers),
        )
