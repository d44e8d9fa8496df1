"""Columns that are shared so that a model can go on from them, and a reader should not: leakage against fidelity.

`columns_of` are a prompt's keys and values as they are shared, a `Guard` is a learned map of them, `readability` is
what a linear probe explains of their tokens, which training lowers, and `leaks` says what probes that were fitted on a
guard's output read of it.
"""

from .columns import columns_of, memory_of
from .guard import Guard, noisy
from .leaks import Shared, leaks
from .readability import readability

__all__ = ["Guard", "Shared", "columns_of", "leaks", "memory_of", "noisy", "readability"]
