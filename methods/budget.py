"""How many tokens a method may keep or read, and which of them it may not touch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .settings import check_types, fit


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`tokens` may be a list, the slots of each layer: it is then their mean, by which rows are due and tables compare.

    ValueError for what cannot work.
    """

    tokens: int  # slots per KV head left after an eviction, recent ones included; tokens read by a selection
    recent: int = 64  # newest slots, never dropped
    sinks: int = 4  # positions below this are never dropped
    interval: int = 64  # decode steps of a row between two of its evictions; 0: none while it decodes
    protect_prompt: bool = False  # the oldest min(prompt, tokens - recent - 1) positions are never dropped
    prefill: bool = False  # evict right after the prompt too
    # part that a round leaves of all tokens so far that may go; beside it the recent ones, and sinks or a protected
    # prompt, whole. `tokens` is then a number to go by, of which settings are parts; None: `tokens` it is
    share: float | None = None
    layers: tuple[int, ...] | None = None  # [L] of a list of `tokens`; None: all layers have as many

    def __post_init__(self) -> None:
        if isinstance(self.tokens, Sequence) and not isinstance(self.tokens, str):
            layers = tuple(fit("budget.tokens", list(self.tokens), list[int]))
            if not layers:
                raise ValueError("budget.tokens=[]: give a number of slots, or one for each layer")
            object.__setattr__(self, "layers", layers)
            object.__setattr__(self, "tokens", round(fmean(layers)))
        check_types("budget", self)
        if self.layers is not None and (self.share is not None or self.tokens != round(fmean(self.layers))):
            raise ValueError(f"budget.layers={list(self.layers)} beside others: give budget.tokens as that list alone")
        if self.recent < 1:
            raise ValueError(f"budget.recent={self.recent}: at least the newest slot stays, use 1 or more")
        if self.sinks < 0:
            raise ValueError(f"budget.sinks={self.sinks}: use 0 or more")
        if self.interval < 0:
            raise ValueError(f"budget.interval={self.interval}: use 0 or more decode steps")
        if self.interval == 0 and not self.prefill:
            raise ValueError("budget.interval=0 with prefill=false never evicts: use 1 or more, or prefill=true")
        if self.least <= self.recent + self.sinks:
            raise ValueError(
                f"budget of {self.least} tokens is not above recent + sinks = {self.recent} + {self.sinks}: "
                "lower compression.ratio or compression.recent, or raise compression.tokens"
            )
        if self.share is not None and not 0 < self.share < 1:
            raise ValueError(f"budget.share={self.share}: use a part above 0 and below 1, or null")

    @property
    def least(self) -> int:
        """Slots per KV head of the layer that has the fewest."""
        return min(self.layers or (self.tokens,))

    def of_layer(self, layer: int, num_layers: int) -> int:
        """Slots per KV head of a layer; ValueError where the list is of another number of layers."""
        if self.layers is None:
            return self.tokens
        if len(self.layers) != num_layers:
            raise ValueError(f"budget.tokens has {len(self.layers)} layers, the model {num_layers}: one number each")
        return self.layers[layer]

    def whole(self, prompt: int) -> int:
        """Tokens of a long sequence that no round drops, for a prompt of so many, where a share says how many stay."""
        return self.recent + max(self.sinks, prompt if self.protect_prompt else 0)

    def at(self, length: int, prompt: int) -> int:
        """Slots per KV head that a round leaves of a sequence of so many tokens, the prompt's among them."""
        if self.share is None:
            return self.tokens
        whole = self.whole(prompt)
        # .29 of 100 is 28.999999999999996
        return whole + max(1, math.floor(round(self.share * (length - whole), 6)))

    def protected(self, prompt: int, tokens: int | None = None) -> int:
        """Positions below this are never dropped, for a prompt of so many tokens; `tokens`: of a layer, if others."""
        room = (tokens or self.tokens) - self.recent - 1
        return max(self.sinks, min(prompt, room) if self.protect_prompt else 0)
