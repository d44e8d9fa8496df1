"""Learned columns beside the other formats, at equal bytes: accuracy of dense, or its KL on texts that were forced.

    python -m kvarena.analysis.studies.learned_columns RUNS_DIR OUTPUT

Writes OUTPUT.csv and OUTPUT.png of the finished runs of dense below a folder: a panel a setting, a line what was
learned, by what calibration. Runs all are free, or all have been forced.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runners.record import DENSE, replace_file, write_figure
from ..fidelity import geometric_mean, kl_of_texts, logs
from ..load import Run, load
from ..panels import house_style, legend, panels
from ..setting import SETTING, settings
from ..stats import pass_at_1
from .command import study_command

LEARNED = {"Coefficients": "low rank", "Codebook": "codebook"}


def learned_columns(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a finished run of dense; ValueError where some are forced and others free, or none is there."""
    dense = [run for run in runs if run.labels.method == DENSE and run.is_whole]
    if len({run.forces for run in dense}) != 1:
        raise ValueError("give a folder of runs of dense that are all free, or all forced")
    table = pd.DataFrame([row(run) for run in dense])
    stems = pd.Series([Path(given).stem for given in table["calibration"]], index=table.index)
    several = table["calibration"].groupby(stems).transform("nunique") > 1
    table["calibration"] = stems.where(~several, table["calibration"])  # the one that ships, and one's own of its name
    return table.sort_values([*SETTING, "kind", "calibration", "bytes_share"], ignore_index=True)


def row(run: Run) -> dict[str, Any]:
    labels, records = run.labels, list(run.records())
    cache = run.config.get("cache") or {}
    found = geometric_mean(list(logs(kl_of_texts(run)).values())) if run.forces else pass_at_1(records)
    return {
        **{name: getattr(labels, name) for name in ("task", "difficulty", "model", "cache")},
        "kind": kind_of(cache),
        "calibration": cache.get("calibration") or "",
        "bytes_share": run.header["bytes_share"],
        "samples": len(records),
        "of": "kl" if run.forces else "accuracy",
        **dict(zip(("value", "low", "high"), found, strict=True)),
    }


def kind_of(cache: dict[str, Any]) -> str:
    """What of a cache is learned: "low rank", "low rank keys", ...; "bits": nothing."""
    kinds = {}
    for side in ("keys", "values"):
        target = cache.get(side, {}).get("_target_", "").rpartition(".")[2]
        kinds[side] = LEARNED.get(target, "")
    if kinds["keys"] == kinds["values"]:
        return kinds["keys"] or "bits"
    return " and ".join(f"{kind} {side}" for side, kind in kinds.items() if kind)


def learned_figure(table: pd.DataFrame) -> Figure:
    blocks = settings(table)
    figure, axes = panels([name for name, _ in blocks])
    lines = list(table[["kind", "calibration"]].drop_duplicates().itertuples(index=False, name=None))
    for axis, (_, block) in zip(axes, blocks, strict=True):
        for number, (kind, calibration) in enumerate(sorted(lines)):
            own = block[(block["kind"] == kind) & (block["calibration"] == calibration)]
            draw(axis, own, f"C{number}", f"{kind}, {calibration}" if calibration else kind)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="share of dense's bytes")
        if set(table["of"]) == {"kl"}:
            axis.set_yscale("log")
            axis.set(ylabel="KL to dense, nats")
        else:
            axis.set(ylabel="pass@1", ylim=(-0.03, 1.05))
    legend(figure, axes)
    return figure


def draw(axis: Axes, own: pd.DataFrame, colour: str, label: str) -> None:
    """What is learned as a line over its sizes, the others as points with their names."""
    spread = np.maximum([own["value"] - own["low"], own["high"] - own["value"]], 0)
    learned = not own.empty and own["kind"].iloc[0] != "bits"
    line = axis.errorbar(own["bytes_share"], own["value"], spread, label=label, color=colour, elinewidth=0.7)[0]
    line.set(marker="o" if learned else "s", linestyle="-" if learned else "none")
    if not learned:
        for name, share, value in zip(own["cache"], own["bytes_share"], own["value"], strict=True):
            axis.annotate(name, (share, value), xytext=(3, 3), textcoords="offset points", fontsize=6)


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    table = learned_columns(load(runs_dir))
    replace_file(output.with_suffix(".csv"), table.to_csv(index=False, float_format="%.4g"))
    with house_style():
        write_figure(learned_figure(table), output.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
