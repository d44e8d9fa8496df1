"""What is said next: what a sampler chooses after its penalties, or what a teacher says in its place.

R rows, V tokens of the vocabulary.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...kernels.noise import Noise
from ..sampler import History, Sampler
from .request import Request
from .teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class Chooser:
    sampler: Sampler
    history: History | None  # None: nothing is penalised
    teacher: Teacher | None  # None: the sampler chooses

    def begin(self, row: int, request: Request, logits: Tensor) -> None:
        """A row is given to a request; `logits` [1, V] are those after its prompt."""
        if self.history:
            self.history.begin(row, request.prompt)
        if self.teacher:
            self.teacher.admitted(row, request, logits)

    def __call__(self, logits: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        """Next tokens [R] of `rows` [R] with logits [R, V]; -1 where one is NaN, or none is finite. On the device."""
        if self.history:
            logits = self.history.penalised(logits, rows)
        token = self.teacher(logits, rows, num_chosen) if self.teacher else self.sampler(logits, noise, num_chosen)
        token = token.masked_fill(~logits.amax(-1).isfinite(), -1)
        if self.history:
            self.history.add(rows, token)
        return token

    def ended(self, row: int, length: int) -> Any:
        """What a teacher saw of a text of so many tokens."""
        return self.teacher.released(row, length) if self.teacher else None
