"""The KV cache: the only memory, and its only writer.

A layer is a set of preallocated columns [B, H, N, ...]: `Layer.fill` writes a row of them, a step appends to each row,
an eviction permutes them in place. Rows are independent: each has its own prompt, lengths, clock and end.

B rows, R rows of a round, L layers, H KV heads, Hq query heads, N slots (the capacity), D head dim.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ...kernels import attend, evict
from ...kernels.append import PackedToken, append
from ...kernels.noise import Noise
from ...kernels.variance import variance
from ...methods.heads import Heads
from ...methods.policy import Eviction, LayerView, Policy
from ..attention import Attention, Own
from .clock import Clock, Usage
from .from_model import FromModel
from .layer import Layer
from .room import Room
from .round_facts import RoundFacts
from .rows_in_use import RowsInUse
from .shape import Shape
from .storage import PLAIN, Storage
from .views import Reading, view_of

GROWTH = 1024  # slots that a layer without a bound has room for beside the prompt, before it grows
Turn = Callable[[int], AbstractContextManager]  # what work on the layer of an index is launched in


def no_turn(index: int) -> AbstractContextManager:
    return nullcontext()


ONE_BY_ONE = nullcontext(no_turn)


@dataclass(kw_only=True)
class KVCache:
    """Memory for `batch_size` rows of one model under one policy; `longest` counts prompt and completion.

    The host counts (`clocks`), the device computes: a step asks the host nothing, so it can be captured in a CUDA graph
    and replayed several times before the host looks at what was said. Until then the clocks go ahead as if no row ended
    (`go_ahead`); that of a row that did is put right (`recount`).
    """

    policy: Policy
    shape: Shape
    batch_size: int
    longest_prompt: int
    longest: int
    dtype: torch.dtype
    device: torch.device
    attention: Attention = field(default_factory=Own)
    known: Sequence[FromModel] = ()  # [L]; none: as if the model were not known
    storage: Storage = PLAIN
    layers: list[Layer] = field(init=False)
    clocks: list[Clock | None] = field(init=False)  # None: idle
    ahead: int = field(init=False, default=1)  # steps that may be taken before the host looks
    used: RowsInUse = field(init=False)  # what steps have: all rows, or the first ones
    positions: Tensor = field(init=False)  # [B] int64, of the next token
    active: Tensor = field(init=False)  # [B] int32, 1: the row grows
    noise: Noise = field(init=False)
    _seen: list[Clock | None] = field(init=False)  # the clocks as they were when the host last looked
    _lengths: Tensor = field(init=False)  # [L, B, H] int32, of all layers
    _bytes: tuple[int, int, int] = field(init=False)  # of a slot, a page and the rest of a row, all layers together
    _read: Tensor = field(init=False)  # [B] int64, slots that a selection has read
    _errors: Tensor = field(init=False)  # [B, longest] float32, by position; empty unless needed

    def __post_init__(self) -> None:
        first = min(self.longest, self.longest_prompt + GROWTH)
        rooms = [self._room(layer, self._slots(layer, first)) for layer in range(self.shape.layers)]
        self.layers = [Layer.empty(room, self.batch_size, self.dtype, self.device) for room in rooms]
        for layer, known in zip(self.layers, self.known, strict=False):
            layer.known = known
        self._lengths = torch.stack([layer.lengths for layer in self.layers])
        for layer, lengths in zip(self.layers, self._lengths, strict=True):
            layer.lengths = lengths
        self.clocks = [None] * self.batch_size
        self.positions = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)
        self.active = torch.zeros(self.batch_size, dtype=torch.int32, device=self.device)
        self.noise = Noise(keys=torch.zeros(self.batch_size, 2, dtype=torch.int64, device=self.device))
        self._read = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)
        noted = self.longest * self.policy.needs.error
        self._errors = torch.zeros(self.batch_size, noted, device=self.device)
        self._measure()
        self.use(self.batch_size)

    @property
    def nbytes(self) -> int:
        """Of its tensors, whatever is live."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def heads(self) -> Heads:
        """Which of each layer's are held here."""
        return self.layers[0].known.heads

    def _measure(self) -> None:
        slot, page = (sum(getattr(layer, name) for layer in self.layers) for name in ("slot_bytes", "page_bytes"))
        row = sum(layer.row_bytes - layer.room.pages * layer.page_bytes for layer in self.layers)
        self._bytes = self.heads.ranks * slot, self.heads.ranks * page, self.heads.ranks * row

    def capacity(self, layer: int) -> int:
        """Slots per KV head that a layer may fill."""
        return self._slots(layer, self.longest)

    def _slots(self, layer: int, unbounded: int) -> int:
        bound = self.policy.capacity(layer, self.shape.layers, self.longest_prompt)
        return unbounded if bound is None else min(bound, self.longest)

    def _room(self, layer: int, slots: int) -> Room:
        nothing = torch.empty(1, 1, 0, self.shape.dim)
        first = self.known[layer].heads.first if self.known else 0
        storage = self.storage.at(layer, first, self.shape, self.device)
        return Room.of(self.shape, self.policy.needs, slots, storage, self.notes(nothing, nothing).shape[-1])

    def notes(self, keys: Tensor, values: Tensor) -> Tensor:
        """[B, H, n, C]: the constants of tokens that are packed, which are those of keys and values as they came."""
        return self.policy.constants(keys, values) if self.storage.packs else keys.new_empty(*keys.shape[:3], 0)

    def reserve(self) -> bool:
        """Make room for the steps ahead where layers grow with the sequence; says whether memory has moved."""
        moved, farthest = False, max((clock.position for clock in self.clocks if clock), default=0) + self.ahead
        for index, layer in enumerate(self.layers):
            # no head has more slots than its row has tokens
            if (slots := layer.room.slots) >= min(farthest, most := self.capacity(index)):
                continue
            if (needed := min(self._longest(index), most)) > slots:
                layer.grow(min(most, max(needed, 2 * slots)))
                moved = True
        if moved:
            self._measure()
            self.use(self.used.count)
        return moved

    def go_ahead(self, count: int) -> bool:
        """So many steps will be taken before the host looks; says whether memory has moved for them."""
        self.ahead = count
        return self.reserve()

    def remember(self) -> None:
        """Note the clocks as they are, from where `recount` counts: before a step that went ahead is counted."""
        self._seen = [clock and clock.after(0) for clock in self.clocks]

    def _longest(self, index: int) -> int:
        """Slots that no head of the layer exceeds in the steps ahead."""
        return max(clock.longest(index) if clock else 0 for clock in self.clocks) + self.ahead

    def admit(self, row: int, prompt: int, key: tuple[int, int]) -> None:
        """Give an idle row to a prompt of so many tokens, which `seat` then writes into each layer."""
        self.enter(row, prompt)
        self.begin(*(torch.tensor([each], device=self.device) for each in (row, prompt, key)))

    def enter(self, row: int, prompt: int) -> None:
        """The host's part of it."""
        assert self.clocks[row] is None
        self.clocks[row] = Clock(policy=self.policy, num_layers=self.shape.layers, prompt=prompt)

    def begin(self, rows: Tensor, prompts: Tensor, keys: Tensor) -> None:
        """The device's part, of rows [R], for prompts of so many tokens [R], with the noise of keys [R, 2]."""
        self.noise.keys.index_copy_(0, rows, keys)
        self.positions.index_copy_(0, rows, prompts)
        for each, value in ((self.active, 1), (self._read, 0), (self._errors, 0)):
            each.index_fill_(0, rows, value)

    def use(self, rows: int) -> None:
        """Steps have the first so many rows from here on; the others are idle."""
        assert not any(self.clocks[rows:])
        self.used = RowsInUse(
            layers=[layer.first(rows) for layer in self.layers],
            positions=self.positions[:rows],
            active=self.active[:rows],
            noise=Noise(keys=self.noise.keys[:rows]),
            read=self._read[:rows],
            errors=self._errors[:rows],
        )

    def move(self, row: int, to: int) -> None:
        """A row goes on, with all that it has, where an idle one was."""
        assert self.clocks[to] is None
        self.clocks[to] = self.clocks[row]
        for each in (self.positions, self.active, self.noise.keys, self._read, self._errors):
            each[to] = each[row]
        for layer in self.layers:
            layer.move(row, to)
        self._idle(row)

    def prompt_layers(self, count: int = 1) -> list[Layer]:
        """Memory for so many prompts, apart from the rows."""
        rooms = [layer.room.resized(self.longest_prompt) for layer in self.layers]
        return [Layer.empty(room, count, self.dtype, self.device) for room in rooms]

    def seat(self, rows: Tensor, prompts: Sequence[Layer], places: Tensor | None = None) -> None:
        """Begin admitted rows [R] with copies of prompts, those at `places` [R], or the first; on the device alone."""
        places = torch.arange(len(rows), device=self.device) if places is None else places
        self._lengths.index_copy_(1, rows, torch.stack([read.lengths for read in prompts])[:, places])
        for layer, read in zip(self.layers, prompts, strict=True):
            layer.seat(rows, read, places)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Append one new token a row, then attend. query [B, Hq, 1, D], key, value [B, H, 1, D] -> [B, 1, Hq, D]."""
        used, page = self.used, self.policy.page
        layer, grouped = used.layers[index], query.reshape(used.count, *self.shape[1:4])
        keys, values, packed = layer.keys, layer.values, None
        if self.storage.packs:
            keys, values = layer.stored_by(used.positions)
            packed = PackedToken(keys, values, layer.noted, self.notes(key, value).squeeze(2))
        new = dict(query=grouped, key=key.squeeze(2), value=value.squeeze(2))
        lengths = append(layer, **new, position=used.positions, active=used.active, page=page, packed=packed)
        chosen = self.policy.read(grouped, self._reading(index, lengths)) if self.policy.selects else None
        longest = min(self._longest(index), layer.room.slots)
        biased: dict[str, Any] = dict(scale=scale, bias=layer.bias if layer.bias.numel() else None)
        output, lse = attended = self.attention(
            grouped, keys, values, lengths, longest=longest, pages=chosen, page=page, **biased
        )
        if layer.mass.numel():
            attend.add_mass(layer.mass, grouped, keys, lengths, lse, decay=layer.room.needs.decay, **biased)
        if layer.last_used.numel():
            uses = layer.last_used, layer.longest_gap
            least = layer.room.needs.used
            attend.note_uses(*uses, grouped, keys, lengths, lse, used.positions, least=least, **biased)
        if layer.room.needs.error:
            self._note_error(variance(grouped, keys, values, lengths, attended, scale=scale, bias=layer.bias), output)
        if self.policy.selects:
            slots = layer.room.slots
            attend.add_reads(used.read, lengths, used.active, pages=chosen, page=page, num_slots=slots)
        return output.view(used.count, 1, -1, self.shape.dim)

    @property
    def hears(self) -> bool:
        """Whether `hear` is to be told what each layer's attention sees."""
        return self.policy.needs.hidden > 0

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [B, 1, E] of the step's tokens, as a layer's attention sees them."""
        self.used.layers[index].hear(states, self.used.positions)

    def _note_error(self, variance: Tensor, output: Tensor) -> None:
        """Add a layer's part to the step's: variance [B, H, G] of outputs [B, H, G, D], over their squared norm."""
        squared = torch.stack([variance.sum((1, 2)), output.float().square().sum((1, 2, 3))], 1)
        wrong, whole = self.heads.total(squared).unbind(1)
        relative = (wrong / whole).sqrt() / self.shape.layers
        self.used.errors.scatter_add_(1, self.used.positions[:, None], relative[:, None])

    def _reading(self, index: int, lengths: Tensor) -> Reading:
        """What a selection sees, its new token included."""
        return Reading(
            memory=self.used.layers[index],
            policy=self.policy,
            layer=index,
            num_layers=self.shape.layers,
            lengths=lengths,
            position=self.used.positions,
            noise=self.used.noise,
        )

    def advance(self, going: Tensor | None = None) -> None:
        """Close a step on the device: every active row is one token longer; it stays active where `going`, of each."""
        self.used.positions.add_(self.used.active)
        if going is not None:
            self.used.active.mul_(going)

    def count(self, row: int, steps: int = 1) -> None:
        """Close steps of a row on the host."""
        self.clocks[row].step(steps)

    def recount(self, row: int, steps: int) -> None:
        """A row had ended after so many of the steps ahead, and what was dropped of it since does not count."""
        self.clocks[row] = self._seen[row].after(steps)

    def steps_to_due(self, most: int) -> int:
        """Steps until a row may be due, or so many."""
        return min([most, *(clock.steps_to_due or most for clock in self.clocks if clock)])

    def due(self) -> list[int]:
        return [row for row, clock in enumerate(self.clocks) if clock and clock.due]

    def drop(self, rows: Sequence[int]) -> None:
        """A round on the device for these rows, in all layers; `evicted` closes it on the host."""
        self.drop_packed(torch.tensor(rows, device=self.device), self.pack(rows).to(self.device))

    def evicted(self, rows: Sequence[int]) -> None:
        """Close a round on the host."""
        for row in rows:
            self.clocks[row].evicted()

    def drop_packed(self, at: Tensor, packed: Tensor, turns: AbstractContextManager[Turn] = ONE_BY_ONE) -> None:
        """The same for rows `at` [R] and their packed `RoundFacts`, which may stay in place: it can be captured.

        All rows, in their order, are seen in place; fewer are copied. A row that grows no more keeps what it has.
        Layers have nothing to do with each other, and each has its turn.
        """
        rows = slice(None) if len(at) == self.batch_size else at
        packed[:, -self.shape.layers :] *= self.active[rows, None]
        facts = RoundFacts.unpack(packed, rows, self.noise)
        with turns as turn:
            for index, layer in enumerate(self.layers):
                with turn(index):
                    self._drop_of(layer, at, self.view(index, facts), facts)

    def _drop_of(self, layer: Layer, at: Tensor, view: LayerView, facts: RoundFacts) -> None:
        policy = cast(Eviction, self.policy)  # of no other is a row ever due
        # a policy with a rule of its own scores for itself
        score = policy.score(view) if policy.by_score or policy.needs.rank else torch.empty(0)
        keep = torch.empty(0) if policy.by_score else policy.keep(view)
        due = view.excess[:, None, None] > 0
        if policy.needs.rank:
            layer.rank[facts.at] = torch.where(due, policy.survivor_order(view, score), view.rank)
        if policy.needs.remembered:
            layer.remembered[facts.at] = torch.where(due, policy.remember(view), view.remembered)
        if policy.needs.merges:
            for column, merged in zip((layer.keys, layer.values), policy.merge(view, keep), strict=True):
                column[facts.at] = torch.where(due[..., None], merged, column[facts.at])
        if policy.needs.bias:
            layer.bias[facts.at] = torch.where(due, policy.weigh(view, keep), view.bias)
        if policy.by_score:  # its rule and the moves are one kernel
            seen = dict(positions=view.positions, evictable=view.evictable, excess=view.excess)
            evict.drop(layer.columns, layer.lengths, at, score=score, **seen)
        else:
            evict.compact(layer.columns, layer.lengths, at, keep)
        layer.forget(facts.at)
        if policy.needs.page:
            layer.bound(facts.at, facts.position, due)

    def pack(self, rows: Sequence[int]) -> Tensor:
        """`RoundFacts` of these rows, on the host."""
        idle = Clock(policy=self.policy, num_layers=self.shape.layers, prompt=0)
        return RoundFacts.pack(self.clocks[row] or idle for row in rows)

    def facts(self, rows: Sequence[int] | None = None) -> RoundFacts:
        """What views of these rows, or of all, have in common over the layers."""
        rows = range(self.batch_size) if rows is None else rows
        at = torch.tensor(list(rows), device=self.device)
        return RoundFacts.unpack(self.pack(rows).to(self.device), at, self.noise)

    def view(self, index: int, facts: RoundFacts) -> LayerView:
        """What a policy sees of a layer."""
        return view_of(self.layers[index], index, self.policy, facts)

    def release(self, row: int) -> Usage:
        """The row is done: its account, that of all heads wherever they are, and the row free for the next prompt."""
        clock = self.clocks[row]
        read = clock.mean_slots
        if self.policy.selects and clock.steps:
            total = self.heads.total(self._read[row]).item()
            read = total / (clock.steps * self.shape.layers * self.shape.heads * self.heads.ranks)
        errors = None
        if self.policy.needs.error:  # the first token follows the prompt, whose pass is dense
            errors = [0.0, *(round(each, 6) for each in self._errors[row, clock.prompt : clock.position].tolist())]
        self._idle(row)
        return clock.usage(read, *self._bytes)._replace(attention_error=errors)

    def _idle(self, row: int) -> None:
        self.clocks[row] = None
        self.positions[row] = self.active[row] = self._lengths[:, row] = 0

    def clear(self) -> None:
        for row, clock in enumerate(self.clocks):
            if clock:
                self._idle(row)
