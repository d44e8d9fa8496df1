"""memory.html: how far what was evicted is forgotten, and what can be read from what was kept; tables and figures."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..runners.record import replace_file, write_figure
from .assemble import assembled, json_rows, script_safe
from .memory import ASKED, KEPT
from .panels import Look, house_style, legend, panels

FOLDER = "memory"
FIGURES = {
    "influence": "influence that is left, by tokens since the eviction",
    "layers": "influence that is left where the first layers alone have dropped the span",
    "readings": "read right, by layer; dotted: by the slot's own word alone",
}
BACKS = (0, 1, 2, 4)  # tokens before a slot's own, as they are shown


def write_memory_page(tables: Mapping[str, pd.DataFrame], output: Path) -> Path:
    """The page, and beside it the tables of `memory_tables` as CSV and as figures."""
    folder = output / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, table in tables.items():
        replace_file(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.5g"))
    data = {
        "influence": forgotten_rows(tables["influence"]) if "influence" in tables else [],
        "readings": read_rows(tables) if "readings" in tables else [],
        "figures": [[f"{FOLDER}/{name}", FIGURES[name]] for name in draw_memory(tables, folder)],
    }
    path = output / "memory.html"
    replace_file(path, assembled("memory.html", {"data": script_safe(data)}))
    return path


def forgotten_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a task, span or method, eraser, age and part: over all tokens, and `since`, by where its bins begin."""
    names = [name for name in ASKED if name in table]
    found = []
    for _, rows in table.groupby(names, dropna=False, sort=False):
        row = json_rows(rows[rows["since"].isna()])[0]
        binned = json_rows(rows[rows["since"].notna()])
        found.append(row | {"since": [[part["since"], part["influence"]] for part in binned]})
    return found


def read_rows(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """A row a task, method and ratio: means over layers by how far back, and the layer that reads most of a prompt."""
    read, prompt = tables["readings"], tables["prompt"]
    shown = read[(read["features"] == "both") & (read["of"] == "all") & read["back"].isin(BACKS)]
    found = []
    for key, rows in shown.groupby(list(KEPT), dropna=False, sort=False):
        means = rows.groupby("back")[["right", "text"]].mean()
        layers = prompt[(prompt[list(KEPT)] == list(key)).all(axis=1)]
        best = json_rows(layers.nlargest(1, "recovered")[["layer", "recovered", "text", "nowhere"]])
        backs = [[back, float(means["right"][back]), float(means["text"][back])] for back in means.index]
        found.append({**dict(zip(KEPT, key, strict=True)), "backs": backs, "prompt": best[0] if best else None})
    return found


def draw_memory(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[str]:
    """Write the figures that can be drawn; their names."""
    draw = {"influence": by_distance, "layers": by_depth, "readings": by_layer}
    with house_style():
        drawn = {name: figure for name, table in tables.items() if name in draw and (figure := draw[name](table))}
        for name, figure in drawn.items():
            write_figure(figure, folder / f"{name}.svg", metadata={"Date": None})
            write_figure(figure, folder / f"{name}.png")
    return list(drawn)


def by_distance(table: pd.DataFrame) -> Figure | None:
    """A panel a task, span and age: a line an eraser; those that read all anew are 0, and are left out."""
    drawn = table[table["since"].notna() & table["influence"].notna()]
    if "eraser" in drawn:
        drawn = drawn[~drawn["eraser"].astype(str).str.startswith("exact")]
    spans = drawn[drawn["eraser"].notna()] if "eraser" in drawn else drawn[:0]
    methods = drawn[drawn["of"] == "all"] if "of" in drawn else drawn[:0]
    by = ["task", "what", "after"]
    parts = [(f"{what}, {after} behind, {task}", "eraser", rows) for (task, what, after), rows in spans.groupby(by)]
    parts += [(f"methods, {after} behind, {task}", "what", rows) for (task, after), rows in methods.groupby(by[::2])]
    if not parts:
        return None
    figure, axes = panels([title for title, _, _ in parts])
    look = Look(str(name) for _, column, rows in parts for name in rows[column])
    for axis, (_, column, rows) in zip(axes, parts, strict=True):
        bins = sorted(int(since) for since in rows["since"].unique())
        for name, line in rows.sort_values("since").groupby(column, sort=False):
            places = [bins.index(int(since)) for since in line["since"]]
            axis.plot(places, line["influence"].clip(lower=1e-4), **look.of[str(name)])
        axis.set_xticks(range(len(bins)), [str(since) for since in bins])
        axis.set(yscale="log", xlabel="tokens since the eviction, from", ylabel="influence left")
    legend(figure, axes)
    return figure


def by_depth(table: pd.DataFrame) -> Figure | None:
    """The span is dropped from the first so many layers."""
    drawn = table[table["since"].isna() & (table["first_layer"] == 0)]
    figure, (axis,) = panels([""])
    keys = drawn.groupby(["task", "what", "after"], sort=False)
    look = Look(f"{what}, {after} behind, {task}" for (task, what, after), _ in keys)
    for (task, what, after), rows in keys:
        axis.plot(rows["layers"], rows["influence"], **look.of[f"{what}, {after} behind, {task}"])
    axis.set(xlabel="layers that have dropped it, from the first", ylabel="influence left", ylim=(0, None))
    legend(figure, [axis])
    return figure


def by_layer(table: pd.DataFrame) -> Figure | None:
    """A panel a task and distance: what keys and values say of the token so far before a slot's own."""
    drawn = table[(table["features"] == "both") & (table["of"] == "all") & table["back"].isin(BACKS)]
    parts = list(drawn.groupby(["task", "back"], sort=False))
    figure, axes = panels([f"{f'{back} back' if back else 'own token'}, {task}" for (task, back), _ in parts])
    look = Look(drawn["method"])
    for axis, (_, rows) in zip(axes, parts, strict=True):
        for method, line in rows.groupby("method"):
            axis.plot(line["layer"], line["right"], **look.of[str(method)])
            axis.plot(line["layer"], line["text"], color=look.of[str(method)]["color"], linestyle="dotted")
        axis.set(xlabel="layer", ylabel="read right", ylim=(0, 1.03))
    legend(figure, axes)
    return figure
