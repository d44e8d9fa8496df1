"""The time of a decode step: rows are placed, a gate compares engines, steps are measured, a `Timing` is a line."""

from .gate import Witness, compare_engines
from .measure import measure_steps, weight_bytes
from .placement import place_rows
from .stopwatch import copy_bandwidth, seconds
from .timing import Timing, TimingKey

__all__ = [
    "Timing",
    "TimingKey",
    "Witness",
    "compare_engines",
    "copy_bandwidth",
    "measure_steps",
    "place_rows",
    "seconds",
    "weight_bytes",
]
