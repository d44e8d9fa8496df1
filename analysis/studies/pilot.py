"""The pilot study of VaSE on other tasks: what value slots, sampling and a resampled projection are worth.

    python -m kvarena.analysis.studies.pilot RUNS_DIR [--output DIR]

Writes a CSV with a row for each run, a table for each ratio, what VaSE says is better than what, accuracy and loops
over the ratio of each task, and VaSE's bars: the means over the tasks at each ratio beside GSM8K as published. The
interval of a mean is made of those of its tasks, added in quadrature: their problems are not the same.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import DENSE, make_folder, replace_file, write_figure
from ..fidelity import free_runs
from ..load import Run, Runs, load
from ..marks import marks
from ..narrow import piped
from ..panels import Look, house_style
from ..published import published
from ..setting import SETTING, title
from ..tables import results
from ..trade_offs import ratio_figure
from . import claims
from .command import study_command

COLUMNS = (
    *("task", "difficulty", "model", "method", "ratio", "tokens", "samples", "draws"),
    *("accuracy", "accuracy_low", "accuracy_high", "loop_rate", "loop_rate_low", "loop_rate_high"),
    *("truncation_rate", "mean_length", "peak_slots", "evictions", "complete"),
)
# of the figures over the ratio; the rest is in the bars and the table
MAIN = (
    *(DENSE, "snapkv", "rkv_vase", "curdkv_vase", "vase_attnv", "vase_dkv"),
    *("h2o", "quest", "streaming", "random", "random_prompt"),
)
BAR = 0.27  # inches


def bars_published() -> pd.DataFrame:
    """The bars of the pilot study, in its order: method, its published name, accuracy in percent."""
    table = published().query("task == 'gsm8k' and metric == 'accuracy'")
    return table[["method", "published_as", "value"]].reset_index(drop=True)


def mean_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each method and ratio, mean over the tasks; only of what was run on all tasks of its ratio."""
    dense, compressed = table[table["method"] == DENSE], table[table["method"] != DENSE]
    found = []
    for ratio, rows in compressed.groupby("ratio"):
        tasks = rows.groupby(SETTING, dropna=False).ngroups
        for method, line in [(DENSE, dense), *rows.groupby("method")]:
            line = line[line["task"].isin(rows["task"]) & line["accuracy"].notna()]
            if len(line) == tasks:
                found.append({"ratio": ratio, "method": method, "tasks": tasks} | mean_accuracy(line))
    return pd.DataFrame(found, columns=["ratio", "method", "tasks", "accuracy", "accuracy_low", "accuracy_high"])


def mean_accuracy(rows: pd.DataFrame) -> dict[str, float]:
    middle, n = rows["accuracy"].mean(), len(rows)
    low, high = (np.sqrt(((rows[f"accuracy_{end}"] - rows["accuracy"]) ** 2).sum()) / n for end in ("low", "high"))
    return {"accuracy": middle, "accuracy_low": max(middle - low, 0.0), "accuracy_high": min(middle + high, 1.0)}


def pilot_bars(table: pd.DataFrame) -> Figure:
    """VaSE's bars: ours at each ratio that has all of them, and GSM8K as published; slots as shares of the budget."""
    theirs, ours = bars_published(), mean_accuracies(table)
    ours = ours[ours["method"].isin(theirs["method"])]
    ours = ours[ours.groupby("ratio")["method"].transform("nunique") == theirs["method"].nunique()]
    panels = list(ours.groupby("ratio"))
    figure = Figure(figsize=(1.7 * (len(panels) + 1) + 2.4, BAR * len(theirs) + 1))
    axes = np.ravel(figure.subplots(1, len(panels) + 1, sharey=True))
    names = list(theirs["published_as"])
    for axis, (ratio, rows) in zip(axes, panels, strict=False):
        line = rows.set_index("method").loc[theirs["method"]]
        reach = [line["accuracy"] - line["accuracy_low"], line["accuracy_high"] - line["accuracy"]]
        axis.barh(names, line["accuracy"], xerr=reach, color="C0", error_kw={"elinewidth": 0.8})
        axis.set_title(f"{ratio:.3g}x, mean of {rows['tasks'].iloc[0]} tasks")
    axes[-1].barh(names, theirs["value"] / 100, color="C2")
    axes[-1].set_title("GSM8K, published")
    axes[-1].invert_yaxis()  # of all, which they share
    for axis in axes:
        axis.set(xlim=(0, 1.03), xlabel="accuracy")
    return figure


def pilot_markdown(table: pd.DataFrame) -> str:
    """Accuracy / loops: methods down, tasks across; a table for each ratio."""
    dense, compressed = table[table["method"] == DENSE], table[table["method"] != DENSE]
    parts = []
    for ratio, rows in compressed.groupby("ratio"):
        rows = pd.concat([dense[dense["task"].isin(rows["task"])], rows])
        pairs = zip(rows["accuracy"], rows["loop_rate"], strict=True)
        cells = rows.assign(cell=[f"{accuracy:.2f} / {loops:.2f}" for accuracy, loops in pairs])
        wide = cells.pivot_table(index="method", columns="task", values="cell", aggfunc="first", sort=False).fillna("-")
        parts.append(f"## {ratio:.3g}x\n\n{piped(wide.reset_index())}")
    return "\n\n".join([*parts, "Accuracy / share of completions that end in a loop."]) + "\n"


def refuse_two_settings(runs: Iterable[Run]) -> None:
    found: dict[str, tuple[str, str, str]] = {}
    for run in runs:
        if (other := found.setdefault(run.labels.task, run.setting)) != run.setting:
            raise ValueError(f"runs of {title(*other)} and of {title(*run.setting)}: give those of one")


def write_pilot(runs: Runs, output: Path) -> list[str]:
    """Of the finished runs, the names of the files; ValueError for two of one cell, or a task of two settings."""
    finished = list(claims.one_run_a_cell(free_runs(runs)).values())
    refuse_two_settings(finished)
    table, counted = results(finished), claims.claims(finished)
    make_folder(output, "--output")
    rounded = table[list(COLUMNS)].round(4)
    replace_file(output / "pilot_embedded.csv", rounded.to_csv(index=False))
    replace_file(output / "pilot_embedded.md", f"{pilot_markdown(table)}\n{claims.claims_markdown(counted)}\n")
    replace_file(output / "pilot_claims.csv", counted.round(4).to_csv(index=False))
    with house_style():
        drawn = table.assign(mark=marks(table))[table["method"].isin(MAIN)]
        look = Look(drawn["method"])
        figures: dict[str, Any] = {
            "pilot_accuracy.png": ratio_figure(drawn, look, "accuracy", "pass@1"),
            "pilot_loops.png": ratio_figure(drawn, look, "loop_rate", "loop rate"),
            "pilot_bars.png": pilot_bars(table),
        }
        for name, figure in figures.items():
            write_figure(figure, output / name)
    return ["pilot_embedded.csv", "pilot_embedded.md", "pilot_claims.csv", *figures]


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m kvarena.analysis.studies.pilot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs_dir", type=Path, metavar="RUNS_DIR", help="of scripts/reproduce.sh pilot_embedded")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the files go (default: RUNS_DIR/report)")
    arguments = parser.parse_args(argv)
    output = arguments.output or arguments.runs_dir / "report"
    try:
        print(f"wrote {', '.join(write_pilot(load(arguments.runs_dir), output))} in {output}")
    except (ValueError, OSError) as error:
        print(f"pilot: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
