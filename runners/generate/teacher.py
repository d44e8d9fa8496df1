"""Who says what is chosen, where texts are forced through the loop.

The model is then called for its last hidden states alone: logits decide nothing.

B rows, R rows whose next token is chosen, S tokens, V tokens of the vocabulary, E hidden size.
"""

from typing import Any, Literal, Protocol

from torch import Tensor

from ..model import Attends, Model
from .request import Request


class Sees(Protocol):
    def __call__(
        self, model: Model, tokens: Tensor, positions: Tensor, cache: Attends, last: Tensor | Literal[1] = 1
    ) -> Tensor:
        """One call of the model for the last of tokens [B, S]: logits [B, V], or last hidden states [B, E]; for tokens
        [1, S] also of those at `last` [R]."""
        ...


class Teacher(Protocol):
    def admitted(self, row: int, request: Request) -> None:
        """A row is given to a text."""
        ...

    def move(self, row: int, to: int) -> None:
        """A text goes on in another row."""
        ...

    def __call__(self, states: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        """The next tokens [R] of `rows` [R] in states [R, E], which have said `count` [R] of theirs. On the device
        alone."""
        ...

    def released(self, row: int, length: int) -> Any:
        """What was seen of a text of so many tokens, which has ended."""
        ...
