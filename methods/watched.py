"""Watched: another method's decisions, with queries and mass kept beside whether it asks for them or not.

Not a method of its own: a trace of it (`engine.trace`) can be shown to every method, the ones that score by queries or
by mass too. `scripts/traces/compare_methods.py` reads such traces.
"""

from dataclasses import dataclass, replace

from .allocation import Allocation
from .policy import Needs


@dataclass(frozen=True, kw_only=True)
class Watched(Allocation):
    @property
    def needs(self) -> Needs:
        needs = self.of.needs
        return replace(needs, queries=max(needs.queries, self.budget.recent), mass=True)
