"""What a sequence says, as text: handed on as it grows, and ended by a stop string."""

from collections.abc import Callable, Sequence

from ..model import Tokenizer
from .request import Request
from .spelling import Spelling

OnToken = Callable[[str, int, int, str], object]  # sample, draw, token and the text that it adds


class Speech:
    """The watcher of a request.

    Text that may begin a stop string waits until it is known not to, so the pieces are the text together.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, stop: Sequence[str], on_token: OnToken | None) -> None:
        self.request, self.stop, self.on_token = request, stop, on_token
        self.text = ""
        self._spelling = Spelling(tokenizer)
        self._waiting = ""

    def __call__(self, token: int, *, last: bool) -> bool:
        self._waiting += self._spelling.add(token, last=last)
        end = first_end(self._waiting, self.stop)
        if end is None:
            end = len(self._waiting) - (0 if last else begun(self._waiting, self.stop))
            piece, self._waiting, stops = self._waiting[:end], self._waiting[end:], False
        else:
            piece, self._waiting, stops = self._waiting[:end], "", True
        self.text += piece
        if self.on_token:
            self.on_token(self.request.sample, self.request.draw, token, piece)
        return stops


def first_end(text: str, stop: Sequence[str]) -> int | None:
    """Where a text ends: before the stop string that is complete first, so that tokens do not matter."""
    found = [(at + len(string), at) for string in stop if (at := text.find(string)) >= 0]
    return min(found)[1] if found else None


def begun(text: str, stop: Sequence[str]) -> int:
    """Characters at the end of a text that a stop string may begin with."""
    sizes = (size for string in stop for size in range(1, len(string)) if text.endswith(string[:size]))
    return max(sizes, default=0)
