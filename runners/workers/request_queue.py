"""Requests that are being decoded, so that they can begin anew when the decoder is lost."""

from collections import deque
from collections.abc import Iterable

from ..generate import Request


class Hand:
    """Requests one after the other; those taken and not ended can be put back. The source may have more later."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._source = iter(requests)
        self._again: deque[Request] = deque()
        self._taken: dict[tuple[str, int], Request] = {}

    def __iter__(self) -> "Hand":
        return self

    def __next__(self) -> Request:
        request = self._again.popleft() if self._again else next(self._source)
        self._taken[request.sample, request.draw] = request
        return request

    def ended(self, sample: str, draw: int) -> None:
        del self._taken[sample, draw]

    def put_back(self) -> None:
        """What was taken and has not ended comes first, in its order."""
        self._again.extendleft(reversed(self._taken.values()))
        self._taken.clear()
