"""Where an entry of a leaderboard stands among its rivals: which are better, level or worse, and which unlike it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .entries import Entry
from .intervals import Interval, of_difference
from .likeness import shared, unlike
from .load import Run

WITHIN = 1.2


@dataclass(frozen=True, kw_only=True)
class Standing:
    """An entry among its rivals, by their names."""

    better: Sequence[str] = ()
    level: Sequence[str] = ()
    worse: Sequence[str] = ()
    unlike: Mapping[str, str] = field(default_factory=dict)  # not compared, and what differs
    not_recorded: Sequence[str] = ()

    def columns(self, ranked: bool) -> dict[str, Any]:
        """No rank either where there are others, but none to be compared with."""
        rivals, low = len(self.better) + len(self.level) + len(self.worse), 1 + len(self.better)
        ranks = {"rank_low": low, "rank_high": low + len(self.level), "rank_of": 1 + rivals}
        return (ranks if ranked and (rivals or not self.unlike) else dict.fromkeys(ranks)) | {
            "better": ", ".join(self.better),
            "level": ", ".join(self.level),
            "unlike": "; ".join(f"{name}: {differs}" for name, differs in self.unlike.items()),
            "not_recorded": ", ".join(self.not_recorded),
        }


def among(entry: Entry, board: Sequence[Entry], gaps: dict[tuple[str, str], Interval]) -> Standing:
    found: dict[str, list[str]] = {"better": [], "level": [], "worse": []}
    unalike: dict[str, str] = {}
    unknown: set[str] = set()
    for name, rivals in by_method(entry, board).items():
        alike = [rival for rival in rivals if is_alike(entry, rival)]
        if not alike:
            unalike[name] = ", ".join(unlike(entry.run, rivals[0].run).differs) or "problems"
            continue
        unknown |= {*unlike(entry.run, alike[0].run).unknown}
        low, high = run_gap(alike[0].run, entry.run, gaps)
        found["better" if low > 0 else "worse" if high < 0 else "level"].append(name)
    return Standing(**found, unlike=unalike, not_recorded=sorted(unknown))


def by_method(entry: Entry, board: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The rivals within reach by bytes, of each other method the largest first."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for rival in sorted(board, key=lambda rival: (-(rival.num_bytes or 0), rival.run.name)):
        if rival.method != entry.method and (rival.num_bytes or 0) <= WITHIN * (entry.num_bytes or 0):
            found[rival.method].append(rival)
    return dict(sorted(found.items()))


def is_alike(a: Entry, b: Entry) -> bool:
    ours, theirs = shared(a.run, b.run, "verdicts")
    return not unlike(a.run, b.run).differs and bool(ours.keys() & theirs.keys())


def run_gap(a: Run, b: Run, known: dict[tuple[str, str], Interval]) -> Interval:
    """Of a minus b."""
    if (b.name, a.name) in known:
        low, high = known[b.name, a.name]
        return -high, -low
    if (a.name, b.name) not in known:
        ours, theirs = shared(a, b, "verdicts")
        common = sorted(ours.keys() & theirs.keys())
        known[a.name, b.name] = of_difference(
            *(np.array([run[problem] for problem in common]) for run in (ours, theirs))
        )
    return known[a.name, b.name]
