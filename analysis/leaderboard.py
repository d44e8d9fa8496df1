"""One row a method, model, task and budget, ranked among the methods that do with no more bytes.

A method's rivals are the other methods of the task and model, each by its run of most cache bytes that holds at most a
fifth more than the row's own. Runs are compared by the interval of their difference, paired by problem, and only where
nothing but the method differs (likeness.py). A rank is a range: one more than the rivals that are better, up to all
that are not worse; ranks overlap where intervals hold zero.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..runners.record.labels import PLAIN
from .intervals import Interval, of_difference
from .likeness import shared, unlike
from .load import Run
from .pairs import spread
from .stats import loop_rate, pass_at_1, score
from .tables import length_and_memory

WITHIN = 1.2
COLUMNS = (
    *("task", "difficulty", "model", "method", "ratio", "tokens", "bytes"),
    *("rank_low", "rank_high", "rank_of", "better", "level", "unlike", "not_recorded"),
    *("accuracy", "accuracy_low", "accuracy_high", "loop_rate", "loop_rate_low", "loop_rate_high"),
    *("problems", "draws", "repeats", "note", "run"),
)
WHOLE = ("tokens", "bytes", "rank_low", "rank_high", "rank_of")  # or missing


@dataclass(frozen=True, kw_only=True)
class Entry:
    run: Run
    method: str  # with the settings that tell it from others of its name and budget
    num_bytes: int | None  # of the cache of its largest row
    repeats: int  # runs of the same, which are left out
    note: str  # why it is not ranked


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


def leaderboard(runs: Iterable[Run]) -> pd.DataFrame:
    """Settings by name; in each dense first, then by ratio and rank."""
    boards: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        boards[run.setting].append(run)
    rows = [row for setting in sorted(boards) for row in board_rows(list(entries(boards[setting])))]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))


def entries(runs: Iterable[Run]) -> Iterator[Entry]:
    """Of runs of one setting; of several of the same, such as seeds, the one with the most records."""
    groups: dict[tuple[str, int], list[list[Run]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (-len(run.outcomes), run.name)):
        kinds = groups[run.labels.named, run.labels.tokens or 0]
        same = [kind for kind in kinds if settings_of(kind[0]) == settings_of(run) and not unlike(kind[0], run).differs]
        (same[0] if same else kinds.append([]) or kinds[-1]).append(run)
    for (method, _), kinds in groups.items():
        for kind, settings in zip(kinds, told_apart([settings_of(kind[0]) for kind in kinds]), strict=True):
            run = kind[0]
            yield Entry(
                run=run,
                method=f"{method} ({settings})" if settings else method,
                num_bytes=length_and_memory(run.outcomes)["resident_bytes"],
                repeats=len(kind) - 1,
                note=why_not(run),
            )


def settings_of(run: Run) -> dict[str, str]:
    """Of its method, flat, and of its cache where that is not plain."""
    cache = {"cache": run.config.get("cache", {})} if run.labels.cache != PLAIN else {}
    return dict(flattened(run.config.get("method", {}) | cache))


def flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value).strip('"')


def told_apart(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """What each has that another has not."""
    keys = sorted({key for each in settings for key in each if any(other.get(key) != each[key] for other in settings)})
    return [", ".join(f"{key}={each[key]}" for key in keys if key in each) for each in settings]


def why_not(run: Run) -> str:
    if run.header.get("random_weights"):
        return "not ranked: random weights"
    if not run.is_whole:
        return f"not ranked: incomplete {len(run.outcomes)}/{run.num_planned}"
    return "" if run.scores else "not ranked: nothing is graded"


def board_rows(board: Sequence[Entry]) -> list[dict[str, Any]]:
    rivals = [entry for entry in board if not entry.note]
    gaps: dict[tuple[str, str], Interval] = {}
    rows = [board_row(entry, among(entry, rivals, gaps) if entry in rivals else None) for entry in board]
    return sorted(rows, key=board_order)


def board_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    ranks = [row[name] or len(row) for name in ("rank_low", "rank_high")]
    return row["tokens"] is not None, row["ratio"], *ranks, -np.nan_to_num(row["accuracy"]), row["method"], row["run"]


def board_row(entry: Entry, standing: Standing | None) -> dict[str, Any]:
    run, labels = entry.run, entry.run.labels
    never = labels.evicts and run.outcomes and not any(record.num_evictions for record in run.outcomes)
    return {
        **{name: getattr(labels, name) for name in ("task", "difficulty", "model", "ratio", "tokens")},
        "method": entry.method,
        "bytes": entry.num_bytes,
        **(standing or Standing()).columns(ranked=standing is not None),
        **spread("accuracy", pass_at_1(run.outcomes)),
        **spread("loop_rate", loop_rate(run.outcomes)),
        "problems": run.header["num_samples"],
        "draws": run.header["num_draws"],
        "repeats": entry.repeats,
        "note": "; ".join(filter(None, [entry.note, "never evicted" if never else "", *unsure(run)])),
        "run": run.name,
    }


def unsure(run: Run) -> list[str]:
    """What makes its accuracy stand for less than it says."""
    errors, ungraded = (
        (record.stop == "error" for record in run.outcomes),
        (score(each) is None for each in run.outcomes),
    )
    return [f"{name} {n}" for name, n in (("errors", sum(errors)), ("ungraded", sum(ungraded))) if n]


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
