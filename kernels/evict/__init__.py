"""Eviction: which slots go (`lowest`) and how the cache closes its ranks (`compact`), shared by every method."""

from .reference import compact, lowest

__all__ = ["compact", "lowest"]
