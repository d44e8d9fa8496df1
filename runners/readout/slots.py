"""The surviving slots of one layer and head over many texts, as a probe sees them.

Keys are kept with their rotation, so a key of one token looks otherwise at each position. Positions stand in the cache,
and a rotation is orthogonal: each key is turned back by its own position, exactly, and then a linear probe sees what it
saw before the rotation. `stored` keys are as they stand, for comparison.

n slots, D head dim, S tokens of a text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...methods.scores import turned
from .traced import TracedText


@dataclass(frozen=True, kw_only=True)
class Slots:
    text: Tensor  # [n] int64: whose slot it is, by its place among the texts
    position: Tensor  # [n] int64
    stored: Tensor  # [n, D] keys as they stand
    keys: Tensor  # [n, D] keys turned back to position 0
    values: Tensor  # [n, D]
    tokens: Tensor  # [texts, S] int64 of all texts, -1 behind their ends
    live: Tensor  # [texts, S] bool: tokens that this head holds
    prompt: Tensor  # [texts] int64: tokens of each prompt
    length: Tensor  # [texts] int64: tokens of each text so far, the newest slot's included

    @classmethod
    def of(cls, texts: Sequence[TracedText], layer: int, head: int, frequencies: Tensor) -> "Slots":
        """`frequencies` [D / 2], as of `inverse_frequencies`."""
        seen = [text.layers[layer] for text in texts]
        found = [state.positions[head] >= 0 for state in seen]
        position = [state.positions[head][at].long() for state, at in zip(seen, found, strict=True)]
        device = frequencies.device
        text = torch.cat([torch.full_like(each, index) for index, each in enumerate(position)]).to(device)
        keys, values = (
            torch.cat([getattr(state, name)[head][at] for state, at in zip(seen, found, strict=True)]).to(device)
            for name in ("keys", "values")
        )
        at = torch.cat(position).to(device)
        live = torch.zeros(len(texts), max(len(each.tokens) for each in texts), dtype=torch.bool, device=device)
        live[text, at] = True
        angle = at[:, None] * frequencies
        return cls(
            text=text,
            position=at,
            stored=keys.float(),
            keys=turned(keys.float(), angle.cos(), -angle.sin()),
            values=values.float(),
            tokens=padded(texts, live),
            live=live,
            prompt=torch.tensor([each.prompt for each in texts], device=device),
            length=torch.tensor([state.next for state in seen], device=device),
        )

    @property
    def own(self) -> Tensor:
        """[n] int64: the token of each slot."""
        return self.tokens[self.text, self.position]

    def features(self) -> Iterator[tuple[str, Tensor]]:
        """By name, [n, F]."""
        yield "keys", self.keys
        yield "keys_stored", self.stored
        yield "values", self.values
        yield "both", torch.cat([self.keys, self.values], -1)

    def behind(self, back: int) -> tuple[Tensor, Tensor]:
        """[n] int64: the token so many places before each slot's, -1 where there is none; [n] bool: it was evicted."""
        before = self.position - back
        at = self.text, before.clamp(min=0)
        return self.tokens[at].where(before >= 0, -1), (before >= 0) & ~self.live[at]


def padded(texts: Sequence[TracedText], live: Tensor) -> Tensor:
    tokens = torch.full(live.shape, -1, device=live.device)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text.tokens)] = torch.tensor(text.tokens, device=live.device)
    return tokens
