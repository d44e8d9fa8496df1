"""The cache of a few rows, written round by round: what analysis of diversity, magnitudes and agreement reads.

Tensors are named round/layer/what: `kept` [H, tokens] positions after each round; at rounds 0, 1, 3, 7, ... the
`positions` [H, n], `keys`, `values` [H, n, D] and `queries` [H, G, W, D] that the method saw before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .cache import KVCache


@dataclass(kw_only=True)
class Trace:
    folder: Path
    num_rows: int  # the first so many that are admitted
    _tensors: dict[int, dict[str, Tensor]] = field(default_factory=dict)  # by row of the cache
    _names: dict[int, str] = field(default_factory=dict)

    def admitted(self, row: int, name: str) -> None:
        if self.num_rows:
            self.num_rows -= 1
            self._tensors[row], self._names[row] = {}, name

    def before(self, cache: KVCache, rows: Sequence[int]) -> None:
        for row in self._tensors.keys() & set(rows):
            round = cache.clocks[row].round
            if (round + 1) & round:
                continue
            for index in range(cache.shape.layers):
                view, live = cache.view(index, cache.facts([row])), cache.clocks[row].resident[index]
                parts = {"positions": view.positions, "keys": view.keys, "values": view.values}
                self._add(row, round, index, {name: part[0, :, :live] for name, part in parts.items()})
                self._add(row, round, index, {"queries": view.queries[0]} if view.queries.numel() else {})

    def after(self, cache: KVCache, rows: Sequence[int]) -> None:
        for row in self._tensors.keys() & set(rows):
            for index in range(cache.shape.layers):
                kept = cache.view(index, cache.facts([row])).positions[0].sort(-1, descending=True).values
                kept = kept[:, : cache.clocks[row].resident[index]].flip(-1)
                self._add(row, cache.clocks[row].round - 1, index, {"kept": kept})

    def released(self, row: int) -> None:
        if row in self._tensors:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self._tensors.pop(row), self.folder / f"{self._names.pop(row)}.safetensors")

    def _add(self, row: int, round: int, layer: int, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            copy = tensor.detach().to("cpu", copy=True).contiguous()
            self._tensors[row][f"{round}/{layer}/{name}"] = copy if copy.numel() else torch.zeros(0)
