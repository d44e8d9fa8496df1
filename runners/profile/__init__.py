"""Which layers of a model look at many tokens: what ReasonAlloc shares slots out by, measured once on dense texts."""

from .demand import Demand, measure_demand

__all__ = ["Demand", "measure_demand"]
