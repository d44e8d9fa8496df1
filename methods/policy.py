"""What a method is: which slots survive an eviction, and which slots a query reads.

B rows, L layers, H KV heads, G query heads per KV head, N slots, W window, P pages, S pages read, C constants, D head
dim, E hidden size. A slot is a place in the compact cache, a position the absolute index of a token; they differ after
an eviction.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..kernels import evict
from ..kernels.noise import Noise
from ..kernels.pack import Stored
from .budget import Budget
from .heads import ALL, Heads
from .settings import check_types

UNSEEN = -1  # of a slot that no round has said anything of


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a method asks the cache to maintain; its bytes are charged to the method."""

    queries: int = 0  # newest queries per layer; at most `recent`, where scored by what they saw
    mass: bool = False  # attention mass per slot: group mean of true probabilities, summed over steps
    decay: float = 1.0  # what is left of the mass of before at every step; 1: all of it
    page: int = 0  # key bounds per page of so many tokens
    rank: bool = False  # place in the last survivor order, new tokens after
    remembered: bool = False  # a number per slot that the method itself says at every round
    output: bool = False  # each layer's output projection, of the model
    rotation: bool = False  # how fast positions turn the channels of queries and keys
    module: bool = False  # each layer's attention as transformers has it, for code that an engine cannot capture
    hidden: int = 0  # newest hidden states per layer, as its attention sees them
    bias: bool = False  # a number per slot that is added to its logit, which the method says at every round
    merges: bool = False  # keys and values of what stays may be written anew at a round
    error: bool = False  # how far attention is off is recorded at each step, by the bias of what was drawn; not charged
    used: float = 0.0  # probability from which a query uses a slot: when, and after how long, is recorded; 0: not


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """Read-only view of one layer; B = the rows that are due."""

    layer: int
    num_layers: int
    keys: Tensor  # [B, H, N, D] after RoPE
    values: Tensor  # [B, H, N, D]
    positions: Tensor  # [B, H, N] int32, -1 where not live
    live: Tensor  # [B, H, N] bool
    candidates: Tensor  # [B, H, N] bool: live and older than the recent ones, the support of a score's softmax
    evictable: Tensor  # [B, H, N] bool: candidates without protected sinks and prompt
    excess: Tensor  # [B] int32: slots to drop per head
    round: Tensor  # [B] int32: how often this row has been evicted
    queries: Tensor  # [B, H, G, W, D], oldest first; empty unless needed
    mass: Tensor  # [B, H, N] float32, empty unless needed
    rank: Tensor  # [B, H, N] int32: only its order counts; empty unless needed
    constants: Tensor  # [B, H, N, C] float32: what `Policy.constants` says of each slot's token
    page_min: Tensor  # [B, H, P, D], empty unless needed
    page_max: Tensor
    noise: Noise
    scaling: float | None = None  # as the model calls it; None: 1/sqrt(D)
    # [B, H, N] float32: what `remember` said at the last round, UNSEEN for slots since; empty unless needed
    remembered: Tensor = field(default_factory=lambda: torch.empty(0))
    # [B, H, N] int32, empty unless needed: position of the query that used a slot last, any of its group, and the most
    # positions between two that did; the one before its first: for a token of the prompt the prompt's last, for others
    # the token before
    last_used: Tensor = field(default_factory=lambda: torch.empty(0))
    longest_gap: Tensor = field(default_factory=lambda: torch.empty(0))
    bias: Tensor = field(default_factory=lambda: torch.empty(0))  # [B, H, N] float32, 0 of slots since; as `remembered`
    # [H, G, D, E], empty unless needed: what a query head's output adds to the hidden state of size E, by channel
    output_weight: Tensor = field(default_factory=lambda: torch.empty(0))
    # [D / 2] float32, empty unless needed: angle by which each position turns channels i and i + D / 2
    frequencies: Tensor = field(default_factory=lambda: torch.empty(0))
    heads: Heads = ALL  # which of the layer's these H are: what is reduced over heads asks it for the others
    module: nn.Module | None = None  # its attention, with the model's rotary_emb; None unless needed
    hidden: Tensor = field(default_factory=lambda: torch.empty(0))  # [B, W, E], oldest first; empty unless needed

    @property
    def scale(self) -> float:
        """By which the model multiplies its logits before the softmax."""
        return self.stored_keys.shape[-1] ** -0.5 if self.scaling is None else self.scaling

    @cached_property
    def stored_keys(self) -> Stored:
        """The keys as kernels take them, without a decoded copy where they are packed."""
        return self.keys

    @cached_property
    def stored_values(self) -> Stored:
        return self.values

    @property
    def num_live(self) -> Tensor:
        """[B, H] int32: live slots of a head."""
        return self.live.sum(-1, dtype=torch.int32)

    @property
    def by_position(self) -> Tensor:
        """[B, H, N] int64: the slots of a head from the oldest token to the newest; those not live come last."""
        last = torch.iinfo(torch.int32).max
        return self.positions.masked_fill(~self.live, last).argsort(dim=-1, stable=True)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Dense attention: keeps and reads everything."""

    evicts: ClassVar[bool] = False
    selects: ClassVar[bool] = False
    budget: Budget | None = None  # None: dense
    page: int = 0  # slots that a selection takes together

    def __post_init__(self) -> None:
        check_types("method", self)

    @property
    def needs(self) -> Needs:
        return Needs()

    @property
    def uneven(self) -> bool:
        """Whether the heads of a row may keep unlike numbers of slots; their mean is `tokens` all the same."""
        return False

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise: another draw of a sample is then another completion, even under a greedy sampler."""
        return False

    @property
    def trained(self) -> bool:
        """Whether it was trained for one model, and `fits` is to be asked before a run."""
        return False

    def fits(self, weights: Mapping[str, str]) -> None:
        """ValueError where it was trained otherwise than it is run, or for other weights: by file, their hashes."""

    def meet(self, model: Any) -> None:
        """Asked once before the first prompt, where `needs.module`, with the model of transformers."""

    def tokens(self, layer: int, num_layers: int) -> int | None:
        """Slots per KV head that a layer keeps (eviction) or reads (selection); None: no bound."""
        return None

    def tokens_at(self, layer: int, num_layers: int, length: int, prompt: int = 0) -> int | None:
        """The same for a sequence of so many tokens so far, its prompt's among them.

        Layers may lend each other what they cannot fill yet, and a budget may grow with the sequence.
        """
        return self.tokens(layer, num_layers)

    def capacity(self, layer: int, num_layers: int, longest_prompt: int) -> int | None:
        """Slots per KV head that a layer must have room for; None: as many as the sequence has tokens."""
        return None

    def tokens_read(self, layer: int, num_layers: int) -> int | None:
        """Slots per KV head that a query reads of a long sequence, at most; None: all that are there."""
        return None

    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        """[B, H, n, C] float32: what the score wants to know of each token, from its key and value alone."""
        return keys.new_empty(*keys.shape[:3], 0, dtype=keys.dtype).float()

    def keep(self, view: LayerView) -> Tensor:
        """[B, H, N] bool: the survivors among the live slots."""
        return view.live

    def read(self, query: Tensor, view: LayerView) -> Tensor | None:
        """Pages that `query` [B, H, G, D] reads: [B, H, S] or [B, H, G, S] int32, -1 for none; None: all."""
        return None


@dataclass(frozen=True, kw_only=True)
class Eviction(Policy, ABC):
    """Bounded memory: every `interval` steps the slots of lowest score go. A method writes `score`.

    One that selects too says so (`selects`), and writes `read` and `tokens_read`: it chooses among what is left.
    """

    evicts: ClassVar[bool] = True
    same_heads: ClassVar[bool] = False  # the score takes for granted that all heads hold the same positions
    budget: Budget = field()  # needed: the base's None is no default here

    def tokens(self, layer: int, num_layers: int) -> int:
        return self.budget.of_layer(layer, num_layers)

    def tokens_at(self, layer: int, num_layers: int, length: int, prompt: int = 0) -> int:
        return self.tokens(layer, num_layers) if self.budget.share is None else self.budget.at(length, prompt)

    def capacity(self, layer: int, num_layers: int, longest_prompt: int) -> int | None:
        if self.budget.interval == 0 or self.budget.share is not None:
            return None
        # a row is due by the budget itself, whatever the layer's part of it
        most = max(self.budget.tokens, self.tokens(layer, num_layers), longest_prompt)
        return most + self.budget.interval

    @abstractmethod
    def score(self, view: LayerView) -> Tensor:
        """[B, H, N] float32: higher survives; +inf insists."""

    @property
    def by_score(self) -> bool:
        """Whether the lowest scores go and nothing else is asked: a round then needs no mask of survivors."""
        return type(self).keep is Eviction.keep

    def keep(self, view: LayerView) -> Tensor:
        return view.live & ~evict.lowest(self.score(view), view.positions, view.evictable, view.excess)

    def remember(self, view: LayerView) -> Tensor:
        """[B, H, N] float32, 0 or more: what a round leaves with its slots; asked where `needs.remembered`.

        UNSEEN stands for nothing yet.
        """
        raise NotImplementedError

    @property
    def draws_slots(self) -> bool:
        """Whether it draws slots, and says by which chance each that stays was to stay (`chance`)."""
        return False

    def chance(self, view: LayerView, keep: Tensor) -> Tensor:
        """[B, H, N] float32: how likely each of `keep` [B, H, N] was to stay, given what was drawn for the others.

        Asked where it `draws_slots`: a sum over survivors, each divided by its chance, is then that of all on average.
        """
        raise NotImplementedError

    def weigh(self, view: LayerView, keep: Tensor) -> Tensor:
        """[B, H, N] float32: the bias of those that stay, by `keep` [B, H, N]; asked where `needs.bias`."""
        raise NotImplementedError

    def merge(self, view: LayerView, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, N, D] from now on; asked where `needs.merges`."""
        raise NotImplementedError

    def survivor_order(self, view: LayerView, score: Tensor) -> Tensor:
        """[B, H, N] int32: the survivor order that a round by these scores leaves; asked where `needs.rank`.

        Protected slots first, then the candidates by falling score, then the recent ones; equals by position.
        """
        highest = torch.finfo(torch.float32).max
        score = score.clamp(-highest, highest)
        score = score.masked_fill(~view.evictable, torch.inf).masked_fill(~view.candidates, -torch.inf)
        falling = score.gather(-1, view.by_position).argsort(dim=-1, descending=True, stable=True)
        places = torch.arange(score.shape[-1], dtype=torch.int32, device=score.device).expand_as(score)
        return torch.empty_like(view.positions).scatter_(-1, view.by_position.gather(-1, falling), places)


@dataclass(frozen=True, kw_only=True)
class Selection(Policy):
    """Full memory, sparse reading: every query chooses the pages it attends to. A method writes `read`."""

    selects: ClassVar[bool] = True
    budget: Budget = field()
    page: int = field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget.share is not None:
            raise ValueError(f"budget.share={self.budget.share}: a selection reads a number of tokens; use null")
        if self.budget.layers is not None:
            raise ValueError(f"budget.tokens={list(self.budget.layers)}: a selection reads one number in all layers")
        if self.page < 1:
            raise ValueError(f"method.page={self.page}: use 1 or more tokens a page")
        if self.budget.tokens < self.page:
            raise ValueError(f"budget of {self.budget.tokens} tokens is below a page of {self.page}: lower method.page")

    def tokens(self, layer: int, num_layers: int) -> int:
        return self.budget.tokens

    def tokens_read(self, layer: int, num_layers: int) -> int | None:
        return self.budget.tokens
