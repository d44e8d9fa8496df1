"""Full: the dense cache, the reference of every comparison."""

from dataclasses import dataclass

from .policy import Policy


@dataclass(frozen=True, kw_only=True)
class Full(Policy):
    pass
