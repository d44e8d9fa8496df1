"""Fidelity: how far a compressed cache drifts from dense, token by token, on texts that are forced through the loop.

A teacher says every token of a text, whatever the model would choose; the model's next-token distribution is compared
with dense's at each of them. Dense's are not kept but made again from its last hidden states, bit for bit.
"""

from .drift import Drift, Means
from .measure import dense_states, fidelity, longest
from .teacher import Examiner, Scribe
from .with_texts import with_texts

__all__ = ["Drift", "Examiner", "Means", "Scribe", "dense_states", "fidelity", "longest", "with_texts"]
