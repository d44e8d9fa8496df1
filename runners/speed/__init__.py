"""The time of a decode step: rows are placed, a gate compares engines, `measure` times, a `Timing` is a line."""

from .gate import Witness, compare_engines
from .measure import measure_steps, weight_bytes
from .placement import place_rows
from .stopwatch import copy_bandwidth, seconds
from .timing import Timing

__all__ = [
    "Timing",
    "Witness",
    "compare_engines",
    "copy_bandwidth",
    "measure_steps",
    "place_rows",
    "seconds",
    "weight_bytes",
]
