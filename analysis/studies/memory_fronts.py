"""What is bought by forgetting more: influence over what an eraser reads, and what probes read over what a guard costs.

    python -m kvarena.analysis.studies.memory_fronts FOLDER OUTPUT

Of every forget.csv of kvarena-forget erasers=learned below FOLDER, and a front.csv of scripts/reasoner/train_guard.py:

  erasers.csv   a row a set of tasks (those that the learned eraser was trained on, and others), span and eraser: tokens
                that it reads, influence that is left after it, 95 % interval over texts
  erasers.png   the same as a picture
  guards.csv    the front.csv
  guards.png    share of the tokens that each kind of probe reads, over KL a token
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import make_folder, replace_file, write_figure
from ..memory import forgotten, influence
from ..panels import Look, house_style, legend, panels
from .command import study_command

PROBES = {
    "ridge": "linear, mean of heads",
    "ridge_best": "linear, best head",
    "layer_best": "perceptron, best layer",
    "whole": "perceptron, all layers",
}
LEAST = 1e-4  # influence that an axis shows


def by_eraser(folder: Path, taught: Sequence[str]) -> pd.DataFrame:
    rows = forgotten(folder)
    rows = rows[rows["eraser"].notna()]
    known = rows["task"].str.rpartition("-")[0].isin(taught)
    named = rows.assign(tasks=known.map({True: "trained on", False: "unlike"}))
    named["sample"] = named["task"] + named["sample"]
    table = influence(named, ("tasks", "what", "after", "eraser"))
    return table[table["since"].isna()].drop(columns=["since", "kl_closing"])


def erasers_figure(table: pd.DataFrame) -> Figure:
    """A panel a set of tasks and span, a point an eraser."""
    groups = list(table.groupby(["tasks", "what", "after"], sort=True))
    figure, axes = panels([f"{what}, {after} behind\ntasks: {tasks}" for (tasks, what, after), _ in groups])
    look = Look(table["eraser"])
    for axis, (_, group) in zip(axes, groups, strict=True):
        for row in group.to_dict("records"):
            value, low, high = (max(row[name], LEAST) for name in ("influence", "low", "high"))
            own = {**look.of[row["eraser"]], "linestyle": "none"}
            axis.errorbar(row["recomputed"], value, [[value - low], [max(high - value, 0)]], **own)
        axis.set(yscale="log", ylim=(LEAST / 2, 1.5), xlim=(-3, None), xlabel="tokens read", ylabel="influence left")
        axis.margins(x=0.1)
    legend(figure, axes)
    return figure


def guards_figure(table: pd.DataFrame) -> Figure:
    """A panel a probe: learned guards and noise, and what is known without the columns."""
    figure, axes = panels(list(PROBES.values()))
    plain = table[table["guard"] == "none"].iloc[0]
    for axis, probe in zip(axes, PROBES, strict=True):
        for guard, own in table[table["guard"] != "none"].groupby("guard", sort=True):
            axis.plot(own["kl"].clip(lower=1e-5), own[probe], marker="o", label=guard)
        axis.axhline(plain[probe], color="0.6", linestyle="dashed", label="unguarded")
        axis.axhline(plain["place"], color="0.6", linestyle="dotted", label="by place")
        axis.set(xscale="log", ylim=(0, 1.03), xlabel="KL, nats a token", ylabel="tokens read right")
    legend(figure, axes)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    folder, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    make_folder(output, "OUTPUT")
    fronts = sorted(folder.rglob("front.csv"))
    erasers = [file for file in sorted(folder.rglob("forget.json")) if trained_on(file)]
    if not fronts and not erasers:
        raise ValueError(f"{folder} holds no forget.csv of erasers=learned and no front.csv")
    with house_style():
        if erasers:
            table = by_eraser(folder, trained_on(erasers[0]))
            replace_file(output / "erasers.csv", table.to_csv(index=False, float_format="%.5g"))
            write_figure(erasers_figure(table), output / "erasers.png")
        for file in fronts:
            table = pd.read_csv(file)
            replace_file(output / "guards.csv", table.to_csv(index=False, float_format="%.5g"))
            write_figure(guards_figure(table), output / "guards.png")


def trained_on(file: Path) -> list[str]:
    """The tasks of the learned eraser of a forget.json; empty where there was none."""
    origins = json.loads(file.read_text()).get("erasers", {})
    return [task for origin in origins.values() for task in origin["config"]["tasks"]]


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
