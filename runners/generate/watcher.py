"""Who follows a sequence while it is decoded: on the host, token by token as each is seen there."""

from typing import Protocol


class Watcher(Protocol):
    text: str  # of the tokens so far, up to where it ended

    def __call__(self, token: int, *, last: bool) -> bool:
        """A token was said, by which the sequence ends or not; says whether its text ends the sequence too."""
        ...
