"""A learned eraser beside the others: what `Steer` has learnt, from a file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from torch import Tensor

from ...tasks.sources import IN_PACKAGE, in_package
from ..model import Model
from .eraser import Erased, Eraser
from .remembered import Remembered
from .steer import Steer


@dataclass(frozen=True, kw_only=True)
class Steering(Eraser):
    """The span's slots hold other keys and values, and stay; the span's tokens are read for it, and no other."""

    path: Annotated[str, MinLen(1)]  # what scripts/reasoner/train_eraser.py writes; pkg://PACKAGE/FILE: of a package

    def __call__(
        self, model: Model, memory: Remembered, tokens: Sequence[int], span: tuple[int, int], frequencies: Tensor
    ) -> Erased:
        start, end = span
        before = memory.part(0, start)
        with torch.no_grad():
            instead = self.steer.on(model.device).states(model, before, tokens[start:end], start)
        return Erased(before.beside(instead).beside(memory.part(end)), len(tokens), end - start)

    @cached_property
    def steer(self) -> Steer:
        return Steer.read(self.file)

    @property
    def file(self) -> Path:
        inside = self.path.startswith(IN_PACKAGE)
        return Path(str(in_package(self.path.removeprefix(IN_PACKAGE)))) if inside else Path(self.path)

    @property
    def origin(self) -> Mapping[str, Any]:
        known = {"parameters": self.steer.parameters, **self.steer.made}  # which refuses what is none
        return {"sha256": hashlib.sha256(self.file.read_bytes()).hexdigest(), **known}
