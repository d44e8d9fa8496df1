"""Two forced runs together: how many times the KL of one that of the other is, over the very texts that both forced."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from .fidelity import ForcedText, forced_runs, geometric_mean, kl_of_texts, logs
from .likeness import own_facts, same, unlike
from .load import Run
from .marks import UNLIKE, texts_marks
from .setting import SETTING
from .stats import NOTHING, Estimate

OF_THE_MODEL = ("weights", "dtype")  # the rest of what two runs share is in their texts


class DriftRatio(NamedTuple):
    common: int  # problems
    unlike: str  # what keeps the two from being compared
    times: Estimate

    def columns(self) -> dict[str, Any]:
        value, low, high = self.times
        return {"common": self.common, "unlike": self.unlike, "times": value, "low": low, "high": high}


def drift_pairs(runs: Iterable[Run]) -> pd.DataFrame:
    """Any two methods of one setting at one ratio: KL of a over that of b on the same problem."""
    groups: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in forced_runs(runs):
        if not run.labels.is_dense:
            groups[*run.setting, run.labels.ratio].append(run)
    rows = []
    for (task, level, model, ratio), group in groups.items():
        texts = [kl_of_texts(run) for run in group]
        setting = {"task": task, "difficulty": level or None, "model": model, "ratio": ratio}
        for i, a in enumerate(group):
            for j, b in enumerate(group[i + 1 :], i + 1):
                named = {"a": a.labels.named, "b": b.labels.named, "run_a": a.name, "run_b": b.name}
                rows.append(setting | named | ratio_of(a, b, texts[i], texts[j]).columns())
    return pd.DataFrame(
        rows, columns=[*SETTING, "ratio", "a", "b", *DriftRatio(0, "", NOTHING).columns(), "run_a", "run_b"]
    )


def ratio_of(a: Run, b: Run, ours: Mapping[ForcedText, float], theirs: Mapping[ForcedText, float]) -> DriftRatio:
    """Of two runs, and the KL of their texts."""
    common, times = times_over(ours, theirs)
    differs = [name for name in unlike(a, b).differs if name in OF_THE_MODEL]
    if not common and ours and theirs:
        differs.append("texts")
    return DriftRatio(0, ", ".join(differs), NOTHING) if differs else DriftRatio(common, "", times)


def drift_marks(runs: Iterable[Run], table: pd.DataFrame) -> pd.Series:
    """Of rows of drifts (marks.py): texts fewer than the others' have, and weights or a dtype other than the floor's.

    Where there is no floor, than those of the run of most texts.
    """
    facts = {run.name: own_facts(run) for run in runs}
    order = table.sort_values(["floor", "texts"], ascending=False, kind="stable")
    base = order.groupby(SETTING, dropna=False)["run"].transform("first").reindex(table.index)
    pairs = [(facts[run], facts[other]) for run, other in zip(table["run"], base, strict=True)]
    unlike = [any(same(a[name], b[name]) is False for name in OF_THE_MODEL) for a, b in pairs]
    return pd.Series([UNLIKE * each for each in unlike], index=table.index, dtype=object) + texts_marks(table)


def times_over(ours: Mapping[ForcedText, float], theirs: Mapping[ForcedText, float]) -> tuple[int, Estimate]:
    """Problems in common, and the geometric mean of their ratios, each of the draws that both have."""
    common = sorted(ours.keys() & theirs.keys())
    one, other = (logs({text: values[text] for text in common}) for values in (ours, theirs))
    return len(one), geometric_mean([one[problem] - other[problem] for problem in one])
