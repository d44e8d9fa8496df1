"""What stands on a leaderboard: of runs of the same settings one, named by what tells it from the others."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runners.record.labels import PLAIN
from .likeness import unlike
from .load import Run
from .tables import length_and_memory


@dataclass(frozen=True, kw_only=True)
class Entry:
    run: Run
    method: str  # with the settings that tell it from others of its name and budget
    num_bytes: int | None  # of the cache of its largest row
    repeats: int  # runs of the same, which are left out
    note: str  # why it is not ranked


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
