"""Who decodes and grades: this process (`local`), or Ray actors, one a GPU (`ray_pool`, extra `ray`)."""

from .follower import follow
from .judge import deadline, judge, opens_thought
from .local import Local
from .team import by_torchrun, follows, leading
from .worker import Worker

__all__ = [
    "Local",
    "Worker",
    "by_torchrun",
    "deadline",
    "follow",
    "follows",
    "judge",
    "leading",
    "opens_thought",
]
