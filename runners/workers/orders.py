# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""What rank 0 tells the ranks that follow it, one order after the other, by torch's store.

Ranks meet in every step, so they are told no more than what a step does not say: which run is next, and which request.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch.distributed import Store

from ..generate import Request
from ..parallel import PATIENCE

KEPT = 1000  # orders that are there still; no rank is so far behind


class Load(NamedTuple):
    """Build the worker of a run; `serve` is the order that follows."""

    config: dict[str, Any]
    method: str
    longest_prompt: int
    folder: str  # of the driver: paths of the config are relative to it


SERVE = "serve"


@dataclass(kw_only=True)
class Orders:
    store: Store
    number: int = 0

    def give(self, order: Any) -> None:
        self.store.set(f"order/{self.number}", pickle.dumps(order))
        self.store.delete_key(f"order/{self.number - KEPT}")
        self.number += 1

    def take(self) -> Any:
        key = f"order/{self.number}"
        self.store.wait([key], PATIENCE)
        self.number += 1
        return pickle.loads(self.store.get(key))

    def served(self, requests: Iterator[Request]) -> Iterator[Request]:
        """Requests, and when there is none, as rank 0 hands them out; the others are told of each."""
        self.give(SERVE)
        return Told(requests, self)

    def requests(self) -> Iterator[Request]:
        """The same for a rank that follows."""
        return Heeded(self)


@dataclass
class Heeded:
    """Asks as often as rank 0 does, which may find a request where there was none."""

    orders: Orders

    def __iter__(self) -> "Heeded":
        return self

    def __next__(self) -> Request:
        if (request := self.orders.take()) is None:
            raise StopIteration
        return request


@dataclass
class Told:
    requests: Iterator[Request]
    orders: Orders

    def __iter__(self) -> "Told":
        return self

    def __next__(self) -> Request:
        request = next(self.requests, None)
        self.orders.give(request)
        if request is None:
            raise StopIteration
        return request
