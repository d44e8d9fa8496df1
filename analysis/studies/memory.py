"""What is left of what was evicted: influence by eraser, layer and method, and what a probe reads.

    python -m kvarena.analysis.studies.memory FOLDER OUTPUT

Of every forget.csv (kvarena-forget) and probe.csv (kvarena-probe) below FOLDER it writes to OUTPUT:

  influence.csv  a row a task, span or method, eraser, age and bin of distance: KL, their ratio, 95 % interval
  layers.csv     the same of spans that some layers alone have dropped
  readings.csv   a row a task, method, features, layer, back and part: means over heads
  prompt.csv     a row a task, method and layer: of the prompt's evicted tokens the part that is read, sums over heads
  *.png          of each as a picture

Ratios are of sums over texts, empty where what was erased says less than 1e-4 nats a token; intervals are percentiles
of 2,000 bootstrap draws of texts.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..panels import Look, house_style

DRAWS = 2000
LEAST = 1e-4  # nats a token that what was erased has to say, or there is nothing to have a part of
ASKED = ("task", "what", "eraser", "after", "of")  # of an influence
KEPT = ("task", "method", "ratio")


def forgotten(folder: Path) -> pd.DataFrame:
    """All rows of kvarena-forget below a folder; `what` is the span or the method."""
    tables = []
    for file in sorted(folder.rglob("forget.csv")):
        labels = json.loads(file.with_suffix(".json").read_text())["labels"]
        table = pd.read_csv(file).rename(columns={"span": "what", "method": "what"})
        tables.append(table.assign(task="-".join(filter(None, (labels["task"], labels["difficulty"])))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def influence(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """KL(erased) / KL(dense) of each group, in bins of distance and over all of them (`since` empty)."""
    names = [name for name in by if name in rows]
    whole = rows.assign(since=np.nan)
    found = []
    for key, group in pd.concat([rows, whole]).groupby([*names, "since"], dropna=False, sort=False):
        sums = group.groupby("sample")[["kl_erased", "kl_dense"]].sum().to_numpy()
        draws = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        with np.errstate(divide="ignore", invalid="ignore"):
            erased, dense = sums[draws].sum(1).T
            low, high = np.nanpercentile(erased / dense, [2.5, 97.5])
            ratio = sums[:, 0].sum() / sums[:, 1].sum()
        tokens, (erased, dense) = int(group["tokens"].sum()), sums.sum(0)
        if dense < LEAST * tokens:
            ratio = low = high = np.nan
        counted = {"texts": len(sums), "tokens": tokens, "kl_dense": dense, "kl_erased": erased}
        extra = {name: group[name].mean() for name in ("recomputed", "age", "gone", "kl_closing") if name in group}
        extra = {name: value for name, value in extra.items() if not np.isnan(value)}
        named = dict(zip([*names, "since"], key, strict=True))
        found.append(named | counted | {"influence": ratio, "low": low, "high": high} | extra)
    return pd.DataFrame(found)


def read_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over heads, weighted by what was asked."""
    shares = ["right", "chance", "shuffled", "text"]
    weighted = rows.assign(**{name: rows[name] * rows["asked"] for name in shares})
    sums = weighted.groupby([*KEPT, "features", "layer", "back", "of"], dropna=False)[[*shares, "asked"]].sum()
    return sums.assign(**{name: sums[name] / sums["asked"] for name in shares}).reset_index()


def prompt_means(rows: pd.DataFrame) -> pd.DataFrame:
    counts = ["evicted", "reached", "right", "by_text"]
    sums = rows.groupby([*KEPT, "layer"], dropna=False).agg({**dict.fromkeys(counts, "sum"), "nowhere": "first"})
    return sums.assign(recovered=sums["right"] / sums["evicted"], text=sums["by_text"] / sums["evicted"]).reset_index()


def influence_figure(table: pd.DataFrame) -> Figure:
    """A panel a task and span: influence by distance, a line an eraser, on a logarithmic scale."""
    drawn = table[
        table["since"].notna() & table["eraser"].notna() & ~table["eraser"].astype(str).str.startswith("exact")
    ]
    groups = list(drawn.groupby(["task", "what", "after"], sort=False))
    figure = Figure(figsize=(3.1 * max(len(groups), 1), 2.9), layout="constrained")
    axes = figure.subplots(1, max(len(groups), 1), sharey=True, squeeze=False)[0]
    for axis, ((task, what, after), group) in zip(axes, groups, strict=False):
        for eraser, own in group.groupby("eraser", sort=False):
            axis.plot(own["since"].astype(int).astype(str), own["influence"].clip(lower=1e-6), marker="o", label=eraser)
        axis.set(yscale="log", title=f"{what}, {after} behind\n{task}", xlabel="tokens since the eviction, from")
    axes[0].set_ylabel("influence left")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def readings_figure(table: pd.DataFrame) -> Figure:
    """What is read one place back, by layer, beside what the slot's own word says."""
    drawn = table[(table["features"] == "both") & (table["of"] == "all") & table["back"].isin([0, 1, 2, 4])]
    backs, look = sorted(drawn["back"].unique()), Look(drawn["method"])
    figure = Figure(figsize=(2.6 * max(len(backs), 1), 2.9), layout="constrained")
    axes = figure.subplots(1, max(len(backs), 1), sharey=True, squeeze=False)[0]
    for axis, back in zip(axes, backs, strict=False):
        for method, own in drawn[drawn["back"] == back].groupby("method"):
            axis.plot(own["layer"], own["right"], **look.of[str(method)])
            axis.plot(own["layer"], own["text"], color=look.of[str(method)]["color"], linestyle="dotted")
        axis.set(xlabel="layer", title=f"{back} back" if back else "own token", ylim=(0, 1.03))
    axes[0].set_ylabel("read right; dotted: by its word alone")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    folder, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    output.mkdir(parents=True, exist_ok=True)
    rows, tables, figures = forgotten(folder), dict[str, pd.DataFrame](), dict[str, Figure]()
    probes = [pd.read_csv(file) for file in sorted(folder.rglob("probe.csv"))]
    prompts = [pd.read_csv(file) for file in sorted(folder.rglob("prompt.csv"))]
    if rows.empty and not probes:
        raise ValueError(f"{folder} holds no forget.csv and no probe.csv")
    with house_style():
        if not rows.empty:
            layered = rows["layers"].notna() if "layers" in rows else pd.Series(False, index=rows.index)
            tables["influence"] = influence(rows[~layered], ASKED)
            figures["influence"] = influence_figure(tables["influence"])
            if layered.any():
                tables["layers"] = influence(rows[layered], ("task", "what", "after", "first_layer", "layers"))
        if probes:
            tables["readings"], tables["prompt"] = read_means(pd.concat(probes)), prompt_means(pd.concat(prompts))
            figures["readings"] = readings_figure(tables["readings"])
        for name, figure in figures.items():
            figure.savefig(output / f"{name}.png")
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"memory: {error}")
