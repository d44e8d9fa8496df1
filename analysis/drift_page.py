"""fidelity.html: the table of drifts, its figures, and every forced text with its tokens coloured by their KL."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..runners.record import DENSE, Record, read_questions, replace_file, write_figure
from . import fidelity
from .assemble import assembled, json_rows, script_safe
from .drift_pairs import drift_marks
from .load import Run
from .panels import FAINT, PANEL, Look, house_style, legend, panels, plot_faint, say_faint
from .rounds import evictions
from .setting import settings
from .texts import write_scripts

TEXTS = "drift"
FIGURES = {"kl_position": "KL by tokens since the first compression", "kl_bytes": "KL over bytes"}


def write_drift_page(
    runs: Sequence[Run], table: pd.DataFrame, positions: pd.DataFrame, look: Look, output: Path
) -> Path:
    """The page and what stands beside it; `table` and `positions` as `fidelity` makes them."""
    folder = output / TEXTS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    drawn = draw_drift(table.assign(mark=drift_marks(runs, table)), positions, look, folder)
    places = {run.name: place for place, run in enumerate(runs)}
    data = {
        "dense": DENSE,
        "rows": json_rows(table.assign(place=table["run"].map(places))),
        "forced": [forced_texts(run, folder / str(places[run.name])) for run in runs],
        "texts": TEXTS,
        "looks": look.page(),
        "figures": [[f"{TEXTS}/{name}", FIGURES[name]] for name in drawn],
    }
    path = output / "fidelity.html"
    replace_file(path, assembled("fidelity.html", {"data": script_safe(data)}))
    return path


def forced_texts(run: Run, folder: Path) -> list[dict[str, Any]]:
    """Each text of a run, in the order of its records, and the name under which its script gives its tokens."""
    asked, found = read_questions(run.folder.path), []

    def texts() -> Iterator[tuple[int, dict[str, Any]]]:
        for place, record in enumerate(run.records()):
            found.append({"sample": record.sample, "draw": record.draw})
            yield place, drift_facts(record, run) | {"question": asked.get(record.sample)}

    names = write_scripts(folder, texts())
    return [text | {"name": names[place]} for place, text in enumerate(found)]


def drift_facts(record: Record, run: Run) -> dict[str, Any]:
    return {
        "target": record.target,
        "pieces": spaced(record.pieces or [], record.completion),
        "kl": [float(f"{value:.3g}") for value in record.kl or ()],
        "other": record.other or [],
        "error": [float(f"{value:.3g}") for value in record.attention_error or ()],
        "evictions": evictions(record, run.config.get("method", {}).get("budget", {})),
    }


def spaced(pieces: Sequence[str], text: str) -> list[str]:
    """With the spaces that stand before them in the text, where a tokenizer gives its tokens without."""
    found, at = [], 0
    for piece in pieces:
        start = at
        while not text.startswith(piece, start) and text[start : start + 1].isspace():
            start += 1
        known = text.startswith(piece, start)
        found.append(text[at:start] + piece if known else piece)
        at = start + len(piece) if known else at
    return found


def draw_drift(table: pd.DataFrame, positions: pd.DataFrame, look: Look, folder: Path) -> list[str]:
    """Write the figures that can be drawn; their names."""
    drawn = {}
    positions = positions.merge(table[["run", "mark"]], on="run")
    with house_style():
        if not positions.empty:
            drawn["kl_position"] = by_position(positions, look)
        if (table["method"] != DENSE).any():
            drawn["kl_bytes"] = over_bytes(table, look)
        for name, figure in drawn.items():
            write_figure(figure, folder / f"{name}.svg", metadata={"Date": None})
            write_figure(figure, folder / f"{name}.png")
    return list(drawn)


def by_position(positions: pd.DataFrame, look: Look) -> Figure:
    parts = [
        (f"{title}, {ratio:.3g}x", part) for title, rows in settings(positions) for ratio, part in rows.groupby("ratio")
    ]
    figure, axes = panels([title for title, _ in parts])
    for axis, (_, rows) in zip(axes, parts, strict=True):
        for (method, mark, _), line in rows.groupby(["method", "mark", "run"]):
            faint: dict[str, Any] = {"alpha": FAINT} if mark else {}
            drawn = np.maximum(line["since"], 8), np.maximum(line["kl"], fidelity.FLOOR)
            axis.plot(*drawn, **(look.of[str(method)] | faint))
            if mark:
                say_faint(axis)
        axis.set(xscale="log", yscale="log", xlabel="tokens since the first compression", ylabel="KL (nats)")
    legend(figure, axes)
    return figure


def over_bytes(table: pd.DataFrame, look: Look) -> Figure:
    """KL over the cache of a text at its peak; the line across is the floor, dense beside itself."""
    found = settings(table)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for floor in rows[rows["floor"]].sort_values("mark", kind="stable")["kl_typical"].head(1):
            axis.axhline(max(floor, fidelity.FLOOR), color="black", linestyle="--", linewidth=1, label=DENSE)
        rows = rows.assign(megabytes=rows["resident_bytes"] / 1e6)
        for method, points in rows[~rows["floor"].astype(bool)].groupby("method"):
            looks, line = look.of[str(method)], points[points["mark"] == ""]
            spread = [line["kl_typical"] - line["kl_low"], line["kl_high"] - line["kl_typical"]]
            axis.errorbar(line["megabytes"], line["kl_typical"], np.maximum(spread, 0), **looks)
            plot_faint(axis, points, "megabytes", "kl_typical", looks)
        axis.set(yscale="log", xlabel="cache of a text at its peak (MB)", ylabel="typical KL (nats)")
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(width, 2 * PANEL[0]), height + 1)  # the legend of one panel is as wide as two
    legend(figure, axes)
    return figure


def markdown(table: pd.DataFrame) -> str:
    """For the terminal and for Markdown: a block a setting."""
    blocks = []
    for title, rows in settings(table):
        alike = rows.duplicated(["method", "ratio", "tokens"]).any()  # told apart by their folder
        last = ["note", "run"] if alike else ["note"]
        lines = [piped_line([*CELLS, *last]), piped_line([":---", *["---:"] * (len(CELLS) - 1), *[":---"] * len(last)])]
        lines += [piped_line([*drift_cells(row), *(row[name] for name in last)]) for row in rows.to_dict("records")]
        if not rows["floor"].eq(True).any():
            lines += ["", f"No floor: what rounding alone makes, a run of method={DENSE} on these texts says."]
        blocks.append(f"## Fidelity: {title}\n\n" + "\n".join(lines))
    return "\n\n".join(blocks) + "\n"


CELLS = ("method", "ratio", "budget", "texts", "KL, nats", "typical, 95 %", "same top-1", "first", "NLL", "evictions")


def piped_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def drift_cells(row: Mapping[Any, Any]) -> list[str]:
    budget = "" if pd.isna(row["tokens"]) else f"{row['tokens']:.0f}"
    name = f"`{row['method']}` (floor)" if row["floor"] else f"`{row['method']}`"
    if pd.isna(row.get("texts")):
        return [name, f"{row['ratio']:.3g}x", budget, *["-"] * 7]
    first = "-" if pd.isna(row["first"]) else f"{row['first']:.0f}"
    return [
        *(name, f"{row['ratio']:.3g}x", budget, f"{row['texts']:.0f}", f"{row['kl']:.3g}"),
        f"{row['kl_typical']:.3g}"
        + ("" if pd.isna(row["kl_low"]) else f" [{row['kl_low']:.2g}, {row['kl_high']:.2g}]"),
        *(f"{row['same']:.1%}", first, f"{row['nll']:+.3g}", f"{row['evictions']:.1f}"),
    ]
