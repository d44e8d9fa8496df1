"""KVPress: a scorer of the package kvpress decides, in our loop: in time order, at true positions, and memory is freed.

Devoto, Jeblick, Jégou, 2025, arXiv 2510.00636 (kvpress 0.5.5). A press is any object with kvpress's
`score(module, hidden_states, keys, values, attentions, kwargs)`; nothing of kvpress is imported here. It is asked for
one row of one layer at a time, as if that were a prompt: the live slots from the oldest to the newest, the layer's own
attention module, its newest `hidden` hidden states (a ring that is charged in bytes), and the ratio at which kvpress
would keep as many. What a round drops is the budget's to say: sinks and recent slots stay whatever they score. What
differs from kvpress's own decoding: docs/kvpress.md.

What a press draws from torch's generators is a function of (seed, sample, draw), layer and round.

B rows, H KV heads, N slots, n live slots of a row, S hidden states, D head dim, E hidden size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..kernels.noise import Noise
from .policy import Eviction, LayerView, Needs

ATTENTIONS = {"ObservedAttentionPress"}  # they ask for all attention weights, which no engine here computes


@dataclass(frozen=True, kw_only=True)
class KVPress(Eviction):
    same_heads: ClassVar[bool] = True  # a press takes a tensor, so the heads of a row have as many slots
    press: Any
    hidden: int = 0  # newest hidden states of each layer that the press is shown; 0: it looks at none
    draws: bool = False  # whether it draws from torch's generators

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(getattr(self.press, "score", None)):
            raise ValueError(f"method.press={self.name} has no score: use a scorer, as kvpress.KnormPress is")
        if needing := ATTENTIONS & {kind.__name__ for kind in type(self.press).__mro__}:
            raise ValueError(f"method.press={self.name}: {needing.pop()} needs all attention weights: use method=h2o")
        if self.hidden < 0:
            raise ValueError(f"method.hidden={self.hidden}: use 0 or more hidden states")

    @property
    def name(self) -> str:
        return type(self.press).__name__

    @property
    def needs(self) -> Needs:
        return Needs(module=True, hidden=self.hidden)

    @property
    def stochastic(self) -> bool:
        return self.draws

    def meet(self, model: Any) -> None:
        if hasattr(self.press, "post_init_from_model"):
            self.press.post_init_from_model(model)

    def score(self, view: LayerView) -> Tensor:
        line = view.by_position
        score = torch.full(line.shape, -torch.inf, device=line.device)
        for row, count in enumerate(view.num_live[:, 0].tolist()):
            score[row].scatter_(-1, line[row, :, :count], self._score_of(view, row, line[row, :, :count]))
        return score

    def _score_of(self, view: LayerView, row: int, line: Tensor) -> Tensor:
        """[H, n] of slots `line` [H, n]; ValueError that names the press for what it cannot do."""
        index = line[..., None].expand(*line.shape, view.keys.shape[-1])
        keys, values = (column[row].gather(1, index)[None] for column in (view.keys, view.values))
        count, dropped = line.shape[1], int(view.excess[row])
        with self._at_ratio(count, count - dropped), self._drawing(view, row):
            try:
                module, states, asked = self._shown(view, row)
                found = self.press.score(module, states, keys, values, None, asked)
            except (ValueError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                raise ValueError(f"method.press={self.name} cannot score while a sequence grows: {error}") from error
        if found.shape != keys.shape[:3]:
            raise ValueError(f"method.press={self.name} scored {list(found.shape)}, not {list(keys.shape[:3])}")
        return found[0].float().nan_to_num(nan=torch.inf)  # what is not a number kvpress keeps

    def _shown(self, view: LayerView, row: int) -> tuple[Any, Any, dict[str, Any]]:
        """The attention, its newest hidden states [1, S, E], and the keywords that it would have been called with.

        A press counts positions from the first state that it sees.
        """
        module: Any = copy(view.module)
        if not self.hidden:
            return module, Absent(self.name), {}
        length = int(view.positions[row].max()) + 1
        first = max(0, length - self.hidden)
        states = view.hidden[row, first - length :][None]
        rotation, at = module.rotary_emb, torch.arange(first, length, device=states.device)
        # in place of the copy's own, which a submodule would not be
        vars(module)["rotary_emb"] = Later(rotation, first)
        placed = dict(position_embeddings=rotation(states, at[None]), cache_position=at)
        return module, states, placed | dict(hidden_states=states)

    @contextmanager
    def _at_ratio(self, count: int, kept: int) -> Iterator[None]:
        """The press has a ratio inside at which kvpress, which rounds down, would keep so many."""
        before = getattr(self.press, "compression_ratio", None)
        if before is None:
            yield
            return
        self.press.compression_ratio = max(0.0, 1 - (kept + 0.5) / count)
        try:
            yield
        finally:
            self.press.compression_ratio = before

    @contextmanager
    def _drawing(self, view: LayerView, row: int) -> Iterator[None]:
        """Torch's generators begin where this row, layer and round have them, and are as before outside."""
        device = view.keys.device
        seed, sample = view.noise.keys[row].tolist()
        first, second = Noise.key(seed, f"{sample}/{view.layer}", int(view.round[row]))
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(first << 32 | second)
            before = generator_state(device)
            yield
            if not (self.draws or torch.equal(before, generator_state(device))):
                raise ValueError(f"method.press={self.name} draws: say so, method.draws=true")


def generator_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


class Absent:
    """Stands for hidden states that are not kept; ValueError where a press looks at them."""

    def __init__(self, press: str) -> None:
        self._why = f"method.press={press} looks at hidden states: say how many, method.hidden=256"

    def __getattr__(self, name: str) -> Any:
        raise ValueError(self._why)

    def __getitem__(self, index: Any) -> Any:
        raise ValueError(self._why)


class Later:
    """A model's rotation for positions that are counted from one after the first."""

    def __init__(self, rotation: Any, first: int) -> None:
        self._rotation, self._first = rotation, first

    def __call__(self, states: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self._rotation(states, positions + self._first)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotation, name)
