"""How the next token is chosen from the logits: `Greedy` or `Sampling`, after what `Penalties` take for a `History`."""

from .penalties import History, Penalties
from .sampler import Greedy, Sampler, Sampling

__all__ = ["Greedy", "History", "Penalties", "Sampler", "Sampling"]
