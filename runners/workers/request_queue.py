"""Requests on their way through a decoder, or through several, so that they can begin anew when one is lost."""

from collections import deque
from collections.abc import Collection, Iterable

from ..generate import Request

Key = tuple[str, int]  # sample and draw


class RequestQueue:
    """An iterator over what waits; it ends where nothing does, and goes on when there is more."""

    def __init__(self, requests: Iterable[Request] = ()) -> None:
        self.waiting = deque(requests)
        self.running: dict[Key, Request] = {}  # taken and not ended, in the order in which they were taken

    def __iter__(self) -> "RequestQueue":
        return self

    def __next__(self) -> Request:
        if not self.waiting:
            raise StopIteration
        request = self.waiting.popleft()
        self.running[request.key] = request
        return request

    def extend(self, requests: Iterable[Request]) -> None:
        self.waiting.extend(requests)

    def ended(self, key: Key) -> Request:
        return self.running.pop(key)

    def put_back(self, keys: Collection[Key]) -> None:
        """What is running of these comes first again, in its order."""
        lost = [key for key in self.running if key in keys]
        self.waiting.extendleft(self.running.pop(key) for key in reversed(lost))
