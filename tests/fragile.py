"""Pieces of a device with little memory, named by configs in place of the real ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from kvarena.kernels.noise import Noise
from kvarena.runners.generate import Decoder
from kvarena.runners.model import Checkpoint, Model
from kvarena.runners.sampler import Greedy
from torch import Tensor

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines."


@dataclass(frozen=True, kw_only=True)
class Fragile(Greedy):
    """No memory for the logits of more than `most` rows, after so many calls that go well."""

    most: int = 2
    after: int = 60  # a prompt is a call of one row, a step one of all rows
    calls: list[int] = field(default_factory=list)  # rows of each

    def __call__(self, logits: Tensor, rows: object, step: Tensor) -> Tensor:
        self.calls.append(len(logits))
        if len(logits) > self.most and len(self.calls) > self.after:
            raise torch.OutOfMemoryError(MESSAGE)
        return super().__call__(logits, rows, step)


@dataclass(frozen=True, kw_only=True)
class Poisoned(Greedy):
    """The third token of every other sample comes of logits that are not finite."""

    def __call__(self, logits: Tensor, rows: Noise, step: Tensor) -> Tensor:
        logits[(step == 2) & (rows.keys[:, 0] % 2 == 1)] = torch.nan
        return super().__call__(logits, rows, step)


@dataclass(frozen=True, kw_only=True)
class Heavy(Checkpoint):
    """No memory for the weights."""

    def load(self, device: torch.device) -> Model:
        raise torch.OutOfMemoryError(MESSAGE)


@dataclass(kw_only=True)
class Small(Decoder):
    """No memory to set up these batches."""

    refused: Sequence[int]

    def prepare(self) -> None:
        if self.batch_size in self.refused:
            raise torch.OutOfMemoryError(MESSAGE)
