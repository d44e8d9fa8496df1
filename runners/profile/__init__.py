"""Which layers of a model look at many tokens: what ReasonAlloc shares slots out by, measured once on dense texts."""

from .demand import Demand, measure_demand
from .dense_texts import DenseTexts, dense_texts, refuse_unlike

__all__ = ["Demand", "DenseTexts", "dense_texts", "measure_demand", "refuse_unlike"]
