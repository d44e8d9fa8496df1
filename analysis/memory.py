"""What kvarena-forget and kvarena-probe have left below a folder, as tables of means.

  influence  a row a task, span or method, eraser, age and bin of distance: KL, their ratio, 95 % interval
  layers     the same of spans that some layers alone have dropped
  readings   a row a task, method, features, layer, back and part: means over heads
  prompt     a row a task, method and layer: of the prompt's evicted tokens the part that is read, sums over heads

Ratios are of sums over texts, empty where what was erased says less than 1e-4 nats a token; intervals are percentiles
of 2,000 bootstrap draws of texts.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..runners.record import folders_with

DRAWS = 2000
LEAST = 1e-4  # nats a token that what was erased has to say, or there is nothing to have a part of
ASKED = ("task", "what", "eraser", "after", "of")  # of an influence
KEPT = ("task", "method", "ratio")


def memory_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """By name, those of which there are rows."""
    rows, tables = forgotten(folder), dict[str, pd.DataFrame]()
    probed = folders_with(folder, "probe.csv")  # a report has a prompt.csv, too
    probes, prompts = ([pd.read_csv(found / name) for found in probed] for name in ("probe.csv", "prompt.csv"))
    if not rows.empty:
        layered = rows["layers"].notna() if "layers" in rows else pd.Series(False, index=rows.index)
        tables["influence"] = influence(rows[~layered], ASKED)
        if layered.any():
            tables["layers"] = influence(rows[layered], ("task", "what", "after", "first_layer", "layers"))
    if probes:
        tables["readings"], tables["prompt"] = read_means(pd.concat(probes)), prompt_means(pd.concat(prompts))
    return {name: table for name, table in tables.items() if not table.empty}


def forgotten(folder: Path) -> pd.DataFrame:
    """All rows of kvarena-forget below a folder; `what` is the span or the method.

    A method of several ratios says which, and a task of several models.
    """
    tables = []
    for found in folders_with(folder, "forget.csv"):
        labels = json.loads((found / "forget.json").read_text())["labels"]
        table = pd.read_csv(found / "forget.csv").rename(columns={"span": "what", "method": "what"})
        task = "-".join(filter(None, (labels["task"], labels["difficulty"])))
        tables.append(table.assign(task=task, model=labels["model"], ratio=f"ratio {labels['ratio']:g}"))
    if not tables:
        return pd.DataFrame()
    rows = pd.concat(tables, ignore_index=True)
    whose, what = saying_which(rows["task"], rows["model"]), saying_which(rows["what"], rows["ratio"])
    return rows.assign(task=whose, what=what).drop(columns=["model", "ratio"])


def saying_which(names: pd.Series, others: pd.Series) -> pd.Series:
    """Names, with the other behind one that stands beside several."""
    several = others.groupby(names).transform("nunique") > 1
    return names.where(~several, names + ", " + others)


def influence(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """KL(erased) / KL(dense) of each group, in bins of distance and over all of them (`since` empty)."""
    names = [name for name in by if name in rows]
    whole = rows.assign(since=np.nan)
    found = []
    for key, group in pd.concat([rows, whole]).groupby([*names, "since"], dropna=False, sort=False):
        sums = group.groupby("sample")[["kl_erased", "kl_dense"]].sum().to_numpy()
        closing = {"kl_closing": group["kl_closing"].sum()} if "kl_closing" in group else {}
        draws = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        with np.errstate(divide="ignore", invalid="ignore"):
            erased, dense = sums[draws].sum(1).T
            low, high = np.nanpercentile(erased / dense, [2.5, 97.5])
            ratio = sums[:, 0].sum() / sums[:, 1].sum()
        tokens, (erased, dense) = int(group["tokens"].sum()), sums.sum(0)
        if dense < LEAST * tokens:
            ratio = low = high = np.nan
        counted = {"texts": len(sums), "tokens": tokens, "kl_dense": dense, "kl_erased": erased}
        extra = {name: group[name].mean() for name in ("recomputed", "age", "gone") if name in group}
        extra = {name: value for name, value in extra.items() if not np.isnan(value)}
        named = dict(zip([*names, "since"], key, strict=True))
        found.append(named | counted | {"influence": ratio, "low": low, "high": high} | closing | extra)
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
