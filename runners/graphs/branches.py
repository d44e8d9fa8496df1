"""Work that has nothing to do with each other on streams that take turns, so that a graph runs it side by side.

Small kernels of one branch then hide behind large ones of another, and so do the pauses between two launches.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch


class Branches(AbstractContextManager):
    """Streams that fork from the current one on entering, and join it on leaving."""

    def __init__(self, count: int) -> None:
        self.streams = [torch.cuda.Stream() for _ in range(count)]

    def __enter__(self) -> Callable[[int], AbstractContextManager]:
        """Which stream has what turn: launches inside go there."""
        for stream in self.streams:
            stream.wait_stream(torch.cuda.current_stream())
        return lambda index: torch.cuda.stream(self.streams[index % len(self.streams)])

    def __exit__(self, *_: object) -> None:
        for stream in self.streams:
            torch.cuda.current_stream().wait_stream(stream)
