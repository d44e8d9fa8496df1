"""Chains of problems solved one after the other: what is right, and what is answered at all, by the place in the chain.

    python -m kvarena.analysis.studies.places RUNS_DIR OUTPUT

Writes OUTPUT.csv and OUTPUT.png of the finished runs of `task=gsm8k_chains` below a folder, which are of one setting
and ratio; dense stands beside them. A prompt is a chain: intervals are over prompts.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import Record, replace_file, write_figure
from ..intervals import of_share
from ..load import Run, load
from ..panels import Look, house_style, legend
from .command import study_command

BETWEEN = "|"  # answers, as the grader of chains writes them
GROUP = 4  # neighbouring places in one point


def places(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a method in a cache and group of places; ValueError where the runs are of several settings or ratios."""
    whole = [run for run in runs if run.is_whole]
    settings = {(run.setting, run.labels.ratio) for run in whole if run.labels.evicts or run.labels.selects}
    if len(settings) > 1:
        raise ValueError("the runs are of several tasks, models or ratios: give a folder of one")
    return pd.DataFrame([line for run in whole for line in by_group(run)])


def by_group(run: Run) -> list[dict[str, object]]:
    right, said = (np.array([one(record) for record in run.outcomes], float) for one in (hits, answered))  # [N, places]
    found = []
    for start in range(0, right.shape[1], GROUP):
        own = right[:, start : start + GROUP].mean(1)
        low, high = of_share(own)
        found.append(
            {
                "method": run.labels.named,
                "first": start + 1,
                "last": min(start + GROUP, right.shape[1]),
                "prompts": len(own),
                "accuracy": own.mean(),
                "accuracy_low": float(low),
                "accuracy_high": float(high),
                "answered": said[:, start : start + GROUP].mean(),
            }
        )
    return found


def hits(record: Record) -> list[bool]:
    """Of each place, whether its answer is right: the grader spells right answers as their targets."""
    return [ours == theirs for ours, theirs in zip(answers_of(record.answer), answers_of(record.target), strict=True)]


def answered(record: Record) -> list[bool]:
    return [bool(answer) for answer in answers_of(record.answer)]


def answers_of(text: str) -> list[str]:
    return [part.strip() for part in text.split(BETWEEN)]


def places_figure(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6.8, 3.6), layout="constrained")
    look, axes = Look(table["method"]), figure.subplots(1, 2, sharex=True, sharey=True)
    titles = {"accuracy": "right", "answered": "answered, right or wrong"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        for method, own in table.groupby("method"):
            style = look.of[str(method)] | {"label": method}
            groups = own["first"].astype(str) + "–" + own["last"].astype(str)
            axis.plot(groups, own[column], **style)
            if column == "accuracy":
                axis.fill_between(groups, own["accuracy_low"], own["accuracy_high"], color=style["color"], alpha=0.1)
        axis.set(xlabel="place in the chain", title=title, ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share of problems")
    legend(figure, axes)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    table = places(load(runs_dir))
    replace_file(output.with_suffix(".csv"), table.to_csv(index=False, float_format="%.4f"))
    with house_style():
        write_figure(places_figure(table), output.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
