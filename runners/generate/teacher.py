"""Who says what is chosen, where texts are forced through the loop.

R rows, V tokens of the vocabulary.
"""

from typing import Any, Protocol

from torch import Tensor

from .request import Request


class Teacher(Protocol):
    def admitted(self, row: int, request: Request, logits: Tensor) -> None:
        """A row is given to a text; `logits` [1, V] are those after its prompt."""
        ...

    def __call__(self, logits: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        """The next tokens [R] of `rows` [R] that have said `count` [R] of theirs. On the device alone."""
        ...

    def released(self, row: int, length: int) -> Any:
        """What was seen of a text of so many tokens, which has ended."""
        ...
