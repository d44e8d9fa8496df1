"""What outlives a run in its process, for the next of a sweep: the last model, and dense's states of the last texts."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ..cache import memory


@dataclass(kw_only=True)
class Last:
    """One thing at a time, and what it was made for."""

    key: Hashable = None
    value: Any = None

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """As `make` makes it, unless it is there; the one before is gone first, for two might not fit."""
        if key != self.key:
            self.key = self.value = None
            memory.reclaim()
            self.value, self.key = make(), key
        return self.value


MODEL, STATES = Last(), Last()
