"""The time of a decode step: rows are placed, a gate compares engines, `measure` times, a `Timing` is a line."""

from .gate import Witness, compare
from .measure import measure, weight_bytes
from .placement import place
from .stopwatch import copy_bandwidth, seconds
from .timing import Timing

__all__ = ["Timing", "Witness", "compare", "copy_bandwidth", "measure", "place", "seconds", "weight_bytes"]
