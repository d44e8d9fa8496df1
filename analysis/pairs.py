"""Two runs, paired by problem: every compressed run against dense, and any two methods at one ratio."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .likeness import shared, unlike
from .load import Run
from .stats import Estimate, difference, holm

GAINS = ("gain", "loop_gain")  # of pass@1 and of the loop rate


def table_order(run: Run) -> tuple[Any, ...]:
    labels = run.labels
    return *run.setting, not labels.is_dense, labels.named, labels.ratio, run.name


def dense_runs(runs: Iterable[Run]) -> dict[tuple[str, str, str], list[Run]]:
    """What the compressed runs of a setting are compared to: the dense ones, those with the most records first."""
    found: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: -len(run.outcomes)):
        if run.labels.is_dense:
            found[run.setting].append(run)
    return found


def nearest(run: Run, dense: Sequence[Run]) -> Run | None:
    """The first that is like the run; where there is none, the first, which then is not paired with it."""
    return next((each for each in dense if not unlike(run, each).differs), dense[0] if dense else None)


def paired_with(run: Run, dense: Run | None) -> str | None:
    """The name of the dense run that it is paired with: dense's own, or none where there is none like it."""
    if run.labels.is_dense:
        return run.name
    return dense.name if dense and not unlike(run, dense).differs else None


def compared(run: Run, dense: Run) -> dict[str, Any]:
    """Whether two runs are alike, and if so how far they are apart."""
    likeness = unlike(run, dense)
    return likeness.columns() | ({} if likeness.differs else against(run, dense))


def against(run: Run, dense: Run) -> dict[str, Any]:
    """Gains over dense, paired by problem."""
    measures = {"gain": "verdicts", "loop_gain": "looping"}
    pairs = {name: difference(*shared(run, dense, measure)) for name, measure in measures.items()}
    found: dict[str, Any] = {"common": pairs["gain"].num_common}
    for name, pair in pairs.items():
        found |= spread(name, pair.estimate) | {f"{name}_p": pair.p if pair.num_common else np.nan}
    return found


def spread(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def pairs(runs: Iterable[Run]) -> pd.DataFrame:
    """Any two methods of one setting at one ratio, paired by problem: a minus b."""
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=table_order):
        if run.outcomes and not run.labels.is_dense:
            groups[*run.setting, run.labels.ratio].append(run)
    rows = []
    for (task, level, model, ratio), group in groups.items():
        found = [duel(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        found = [line for line in found if line.get("common") or line["unlike"]]
        paired = [line for line in found if not line["unlike"]]
        for name in GAINS:
            for line, p in zip(paired, holm([line[f"{name}_p"] for line in paired]), strict=True):
                line[f"{name}_p_holm"] = p
        labels = {"task": task, "difficulty": level or None, "model": model, "ratio": ratio}
        rows += [labels | line for line in found]
    names = [f"{gain}{part}" for gain in GAINS for part in ("", "_low", "_high", "_p", "_p_holm")]
    columns = [
        "task",
        "difficulty",
        "model",
        "ratio",
        "a",
        "b",
        "common",
        "unlike",
        "not_recorded",
        "unfinished",
        *names,
        "run_a",
        "run_b",
    ]
    return pd.DataFrame(rows, columns=columns).astype({"common": "Int64"})


def duel(a: Run, b: Run) -> dict[str, Any]:
    named = {"a": a.labels.named, "b": b.labels.named, "run_a": a.name, "run_b": b.name}
    unfinished = [f"{run.name} {len(run.outcomes)}/{run.num_planned}" for run in (a, b) if not run.is_whole]
    return named | compared(a, b) | {"unfinished": ", ".join(unfinished)}
