"""Who decodes and grades: this process (`local`), or Ray actors, one a GPU (`ray_pool`, extra `ray`)."""

from .judge import deadline, judge, opens_thought
from .local import Local
from .worker import Worker

__all__ = ["Local", "Worker", "deadline", "judge", "opens_thought"]
