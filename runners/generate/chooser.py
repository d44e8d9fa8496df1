"""What is said next: what a sampler chooses after its penalties, or what a teacher says in its place.

R rows, V tokens of the vocabulary, E hidden size.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...kernels.noise import Noise
from ..model import forward, last_states
from ..sampler import History, Sampler
from .logprobs import Logprobs, MostProbable
from .request import Request
from .teacher import Sees, Teacher


@dataclass(frozen=True, kw_only=True)
class Chooser:
    sampler: Sampler
    history: History | None  # None: nothing is penalised; nor is what a teacher says
    teacher: Teacher | None  # None: the sampler chooses
    probable: MostProbable | None = None  # None: how probable the tokens were is not asked

    @property
    def sees(self) -> Sees:
        """What a choice is made of: a teacher needs no logits."""
        return last_states if self.teacher else forward

    def begin(self, row: int, request: Request) -> None:
        """A row is given to a request."""
        if self.history:
            self.history.begin(row, request.prompt)
        if self.teacher:
            self.teacher.admitted(row, request)

    def move(self, row: int, to: int) -> None:
        """A request goes on in another row."""
        for each in (self.history, self.teacher, self.probable):
            if each:
                each.move(row, to)

    def __call__(self, seen: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        """Next tokens [R] of `rows` [R] with logits [R, V], or states [R, E] for a teacher. On the device.

        -1 where one is NaN, or none is finite.
        """
        if self.history:
            seen = self.history.penalised(seen, rows)
        token = self.teacher(seen, rows, num_chosen) if self.teacher else self.sampler(seen, noise, num_chosen)
        token = token.masked_fill(~seen.amax(-1).isfinite(), -1)
        if self.history:
            self.history.add(rows, token)
        if self.probable:
            self.probable.add(seen, token, rows, num_chosen)
        return token

    def ended(self, row: int, length: int) -> Any:
        """What a teacher saw of a text of so many tokens."""
        return self.teacher.released(row, length) if self.teacher else None

    def logprobs(self, row: int, length: int) -> list[Logprobs] | None:
        """Of each of so many tokens of a row, where they are asked for."""
        return self.probable.of(row, length) if self.probable else None
