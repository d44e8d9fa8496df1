"""The cache of a few rows, written round by round: what analysis of diversity, magnitudes and agreement reads.

Tensors are named round/layer/what: `kept` [H, n] positions after each round and `queries` [H, G, W, D] before it; at
rounds 0, 1, 3, 7, ... the `positions` [H, n], `keys`, `values` [H, n, D], `mass` and `rank` [H, n] that the method saw
before it. Mass, rank and queries are there if the method asks for them; a head of fewer slots than another has
positions of -1.
`prompt` is its length, `noise` the key of the row's noise, `decay` that of the mass: with these `replay.py` shows the
state to any method.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..record import file_name
from .cache import KVCache
from .layer import SLOT_COLUMNS
from .views import SEEN

BY_SLOT = [name for name in SLOT_COLUMNS if name in SEEN]
TRACED = ("queries", *BY_SLOT)  # before a round, of a view's columns


@dataclass(kw_only=True)
class Trace:
    folder: Path | None  # where the files go
    num_rows: int  # the first so many that are admitted
    _tensors: dict[int, dict[str, Tensor]] = field(default_factory=dict)  # by row of the cache
    _names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_rows and self.folder is None:
            raise ValueError(f"trace={self.num_rows} needs an output_dir")

    @property
    def follows(self) -> bool:
        """Whether rounds are looked at, now or of a row that will be admitted."""
        return bool(self.num_rows or self._tensors)

    def admitted(self, cache: KVCache, row: int, name: str) -> None:
        if self.num_rows:
            self.num_rows -= 1
            prompt = torch.tensor(cache.clocks[row].prompt)
            self._tensors[row] = {"prompt": prompt, "noise": cache.noise.keys[row].to("cpu", copy=True)}
            self._tensors[row]["decay"] = torch.tensor(cache.policy.needs.decay, dtype=torch.float64)
            self._names[row] = name

    def move(self, row: int, to: int) -> None:
        if row in self._tensors:
            self._tensors[to], self._names[to] = self._tensors.pop(row), self._names.pop(row)

    def before(self, cache: KVCache, rows: Sequence[int]) -> None:
        for row in self._tensors.keys() & set(rows):
            round, facts = cache.clocks[row].round, cache.facts([row])
            for index in range(cache.shape.layers):
                view = cache.view(index, facts)
                self._add(row, round, index, {"queries": view.queries[0]})
                if (round + 1) & round == 0:
                    longest = view.live.sum(-1).max()
                    self._add(row, round, index, {name: getattr(view, name)[0, :, :longest] for name in BY_SLOT})

    def after(self, cache: KVCache, rows: Sequence[int]) -> None:
        for row in self._tensors.keys() & set(rows):
            round, facts = cache.clocks[row].round - 1, cache.facts([row])
            for index, layer in enumerate(cache.layers):
                kept = cache.view(index, facts).positions[0].sort(-1).values
                self._add(row, round, index, {"kept": kept[:, -layer.lengths[row].max() :]})

    def released(self, row: int) -> None:
        if row in self._tensors:
            assert self.folder
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(self._tensors.pop(row), self.folder / f"{file_name(self._names.pop(row))}.safetensors")

    def _add(self, row: int, round: int, layer: int, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if tensor.numel():
                self._tensors[row][f"{round}/{layer}/{name}"] = tensor.to("cpu", copy=True).contiguous()
