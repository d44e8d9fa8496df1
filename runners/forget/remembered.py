"""What a text has left in each layer: keys and values that can be taken out, turned, and read on from.

One text, no batch, every head alike. H KV heads, Hq query heads, L layers, n slots, S new tokens, D head dim, E hidden
size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...methods.scores import turned
from ..model import Model, output_states, own_attention


@dataclass(kw_only=True)
class Remembered:
    """A model attends through it, and adds what it reads; slots are in the order in which they were read."""

    keys: list[Tensor] = field(default_factory=list)  # [L] of [H, n, D] after RoPE; layers may differ in n
    values: list[Tensor] = field(default_factory=list)  # likewise

    @torch.no_grad()
    def read(self, model: Model, tokens: Sequence[int], first: int) -> Tensor:
        """[S, E]: what the output projection sees of tokens at positions from `first` on."""
        return self.follow(model, tokens, first)

    def follow(self, model: Model, tokens: Sequence[int], first: int) -> Tensor:
        """`read`, through which gradients reach the slots that were there before."""
        ids = torch.tensor([list(tokens)], device=model.device)
        places = torch.arange(first, first + len(tokens), device=model.device)[None]
        with own_attention(model):
            return output_states(model, ids, position_ids=places, kv_cache=self)[0]

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        if index == len(self.keys):
            self.keys.append(key[0, :, :0])
            self.values.append(value[0, :, :0])
        before, new = self.keys[index].shape[1], key.shape[2]
        self.keys[index] = torch.cat([self.keys[index], key[0]], 1)
        self.values[index] = torch.cat([self.values[index], value[0]], 1)
        seen = torch.ones(new, before + new, dtype=torch.bool, device=key.device).tril(before)
        output = scaled_dot_product_attention(
            query, self.keys[index][None], self.values[index][None], attn_mask=seen, scale=scale, enable_gqa=True
        )
        return output.transpose(1, 2).contiguous()  # which families of transformers may view

    def part(self, start: int, end: int | None = None) -> "Remembered":
        """Slots from `start` to `end` of every layer; `read` of one leaves the other as it was."""
        return Remembered(
            keys=[keys[:, start:end] for keys in self.keys], values=[values[:, start:end] for values in self.values]
        )

    def beside(self, later: "Remembered") -> "Remembered":
        """The slots of both, those of `later` behind."""
        pairs = ((self.keys, later.keys), (self.values, later.values))
        keys, values = ([torch.cat(two, 1) for two in zip(*pair, strict=True)] for pair in pairs)
        return Remembered(keys=keys, values=values)

    def turned_by(self, positions: int, frequencies: Tensor) -> "Remembered":
        """The same at positions that are so many higher; frequencies [D / 2], as of `inverse_frequencies`."""
        angle = positions * frequencies
        keys = [turned(keys.float(), angle.cos(), angle.sin()).to(keys.dtype) for keys in self.keys]
        return Remembered(keys=keys, values=self.values)

    def layers_of(self, other: "Remembered", layers: range) -> "Remembered":
        """The slots of `other` in these layers, its own in the rest."""
        pairs = ((self.keys, other.keys), (self.values, other.values))
        keys, values = ([two[i in layers] for i, two in enumerate(zip(*pair, strict=True))] for pair in pairs)
        return Remembered(keys=keys, values=values)


def check_turns(model: Model, frequencies: Tensor) -> None:
    """ValueError for a family whose keys are not turned as `turned_by` does it, by a pass at two places."""
    here, there = Remembered(), Remembered()
    here.read(model, [1, 2], 0)
    there.read(model, [1, 2], 7)
    ours, theirs = here.turned_by(7, frequencies).keys[0].float(), there.keys[0].float()
    if (ours - theirs).norm() > 0.02 * theirs.norm():
        raise ValueError(
            f"keys of a model {model.config.model_type} are not turned by channels i and i + D / 2: no spans of it"
        )
