"""Bytes as the budget: what a method's cache takes of the dense one's, both at two bytes a number.

Charged is all that a layer holds, as `Usage.resident_bytes` has it on a GPU: keys and values as they are stored, scales
and a ring beside them, positions, and what the method asks for. The dense cache is that of the model's own numbers, its
positions included. A selection that holds everything is charged what it reads at a step instead: keys and values of its
tokens, of all tokens in layers where it reads all, and the bounds of all pages. One that evicts too holds one number of
tokens and reads another, so no share of bytes says what its budget is.
"""

from itertools import compress
from typing import NamedTuple

import torch

from ...methods.full import Full
from ...methods.policy import Policy
from .cache import KVCache
from .shape import Shape
from .storage import PLAIN, Storage


class Cost(NamedTuple):
    """Bytes, all layers and heads together."""

    slot: int
    row: int  # whatever the budget

    @classmethod
    def of(cls, policy: Policy, shape: Shape, storage: Storage, length: int) -> "Cost":
        """In a sequence of so many tokens."""
        layers = KVCache(
            policy=policy,
            shape=shape,
            batch_size=1,
            longest_prompt=length,
            longest=length,
            dtype=torch.bfloat16,
            device=torch.device("meta"),
            storage=storage,
        ).layers
        row = sum(layer.row_bytes for layer in layers)
        if not holds_all(policy):
            return cls(sum(layer.slot_bytes for layer in layers), row)
        whole = [policy.tokens_read(index, len(layers)) is None for index in range(len(layers))]
        pairs = [layer.pair_bytes for layer in layers]
        dense = sum(compress(pairs, whole))
        return cls(sum(pairs) - dense, row + length * dense)


def holds_all(policy: Policy) -> bool:
    return policy.selects and not policy.evicts


def dense_bytes(policy: Policy, shape: Shape, length: int) -> int:
    """What is held of `length` tokens without any compression; for a selection, what is read."""
    layer = Cost.of(Full(), shape, PLAIN, length)
    positions = 4 * shape.layers * shape.heads if holds_all(policy) else 0
    return length * (layer.slot - positions)


def tokens_within(share: float, length: int, policy: Policy, shape: Shape, storage: Storage) -> int:
    """The budget that takes at most this share of dense's bytes; ValueError where not even a token fits."""
    storage.check(shape, policy)
    if policy.selects and policy.evicts:
        raise ValueError(
            f"compression.bytes={share:g}: {type(policy).__name__} holds one number of tokens and reads another: "
            "use compression.ratio or compression.tokens"
        )
    cost, room = Cost.of(policy, shape, storage, length), share * dense_bytes(policy, shape, length)
    tokens = int((room - cost.row) // max(1, cost.slot))  # 0: every layer is dense
    if tokens < max(1, storage.residual):
        raise ValueError(
            f"compression.bytes={share:g} is {room:,.0f} bytes a row, below what cache={storage.name} takes of them "
            f"with {max(1, storage.residual)} slots ({cost.row + max(1, storage.residual) * cost.slot:,}): raise it"
            + (", or lower cache.residual" if storage.residual else "")
        )
    return tokens


def bytes_share(length: int, policy: Policy, shape: Shape, storage: Storage) -> float:
    """What a sequence of so many tokens takes of them after an eviction, or what a step of a selection reads."""
    cost = Cost.of(policy, shape, storage, length)
    tokens = min(policy.budget.tokens, length) if policy.budget else length
    return (tokens * cost.slot + cost.row) / dense_bytes(policy, shape, length)
