"""Quest's page bounds: kept at append, scored against a query, and the pages to read."""

from .reference import bounds, extend, score, top

__all__ = ["bounds", "extend", "score", "top"]
