"""Does eviction forget? What an evicted span still does to the next tokens, through what was written after it was read.

`Remembered` is what a text has left in each layer, an `Eraser` takes a span out of it, and `Influence` sets what
follows beside dense with the span and beside a text that never had it; `of_method` does so for what a method evicted.
"""

from .departures import gone_from, of_method, states_without
from .eraser import Erased, Eraser, Recompute
from .influence import Influence
from .remembered import Remembered
from .spans import MarkedText, Span

__all__ = [
    "Erased",
    "Eraser",
    "Influence",
    "MarkedText",
    "Recompute",
    "Remembered",
    "Span",
    "gone_from",
    "of_method",
    "states_without",
]
