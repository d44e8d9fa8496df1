"""What can still be read from the slots that a method kept: their own token, and tokens that were evicted before them.

`traced_texts` reads the caches that a run has traced, `Slots` are those of one layer and head over many texts, and
`readings` says what a probe learnt on some texts reads from those of others, beside what it would know without a cache.
"""

from .readings import Reading, readings
from .ridge import Ridge
from .slots import Slots
from .traced import TracedText, traced_texts

__all__ = ["Reading", "Ridge", "Slots", "TracedText", "readings", "traced_texts"]
