"""Tokens a second of a whole decode, from steps timed at a few positions, beside what VaSE published.

    python -m kvarena.analysis.studies.throughput BENCHMARK.csv [--output DIR]

The lines of kvarena-benchmark of one method and budget make a law: a step is affine in the slots that it reads and,
where all are kept, in the position; the rounds of an eviction cost what they cost where the budget is full. The mean
of the law over the positions of a decode gives its tokens a second, and `misfit` is how far it is off the times it was
made from, at most. A line that timed a whole decode is not used for the law but checks it.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import make_folder, replace_file, write_figure
from ...runners.record.labels import PLAIN
from ..narrow import formatted, piped
from ..panels import PANEL, Look, house_style, legend, panels
from ..published import model_key, published
from .command import study_command

PROMPT = 256
DECODES = (16_384, 32_768)
GROUP = ["model", "method", "batch", "tokens"]
GIB = 2**30
COLUMNS = (
    *("decode", *GROUP, "tokens_per_s", "published_tokens_per_s", "peak_gib", "published_gib"),
    *("ms_per_step", "misfit", "whole_tokens_per_s", "device", "versions", "commit"),
)


class StepLaw(NamedTuple):
    """Milliseconds of a step, and bytes of the peak, over the position."""

    tokens: float  # budget; infinite for dense
    bounded: bool
    weights: np.ndarray  # of `terms`
    round_ms: float  # of a step where the budget is full
    peak: np.ndarray  # polynomial in the position of the newest token

    def ms(self, position: np.ndarray) -> np.ndarray:
        full = self.round_ms * (position >= self.tokens)
        return terms(position, self.tokens, self.bounded) @ self.weights + full


def terms(position: np.ndarray, tokens: float, bounded: bool) -> np.ndarray:
    """[n, 2 or 3]: one, the slots read, and the position where memory grows beyond what is read."""
    columns = [np.ones_like(position), np.minimum(position, tokens)]
    if np.isfinite(tokens) and not bounded:
        columns.append(position)
    return np.stack(columns, -1)


def step_law(lines: pd.DataFrame) -> StepLaw:
    """Of the lines of one method and budget."""
    middle, tokens = lines["middle"].to_numpy(float), float(lines["tokens"].fillna(np.inf).iloc[0])
    bounded, rounds = bool(lines["evicts"].iloc[0]), lines["ms"] * lines["evict_share"]
    columns = terms(middle, tokens, bounded)
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        name, budget = lines["method"].iloc[0], f" at {tokens:.0f} tokens" if np.isfinite(tokens) else ""
        raise ValueError(
            f"{name}{budget}: {len(lines)} positions do not make a law, time it at positions=[256,6400,10496,14592]"
        )
    weights = np.linalg.lstsq(columns, (lines["ms"] - rounds).to_numpy(), rcond=None)[0]
    full = middle >= tokens
    ends, peaks = lines["position"] + lines["steps"], lines["peak_bytes"].to_numpy(float)
    peak = np.array([peaks.max()]) if bounded else np.polyfit(ends, peaks, 1)
    return StepLaw(tokens, bounded, weights, float(rounds[full].mean()) if full.any() else 0.0, peak)


def throughput(benchmark: pd.DataFrame) -> pd.DataFrame:
    """A row for each length of decode, method, with its cache, and budget."""
    benchmark = benchmark.assign(method=with_caches(benchmark))
    whole = (benchmark["position"] == PROMPT) & benchmark["steps"].isin(DECODES)
    rows = []
    for decode in DECODES:
        for _, lines in benchmark[~whole].groupby(GROUP, dropna=False, sort=False):
            rows.append({"decode": decode} | extrapolated(lines, decode))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"tokens": "Int64"})
    order = {method: place for place, method in enumerate(table["method"].unique())}
    table = table.sort_values(["decode", "method", "tokens"], key=lambda column: column.replace(order), kind="stable")
    checks = benchmark[whole].rename(columns={"steps": "decode", "tokens_per_s": "check"})
    checks = checks[["decode", *GROUP, "check"]].astype({"tokens": "Int64"})
    table["whole_tokens_per_s"] = table.merge(checks, how="left", on=["decode", *GROUP])["check"].to_numpy()
    return with_published(table)


def with_caches(lines: pd.DataFrame) -> pd.Series:
    """The method, and the cache where it packs, as tables of runs call them; lines of before had no choice."""
    cache = lines["cache"].fillna(PLAIN) if "cache" in lines else pd.Series(PLAIN, index=lines.index)
    return lines["method"].where(cache == PLAIN, lines["method"] + " + " + cache)


def refuse_several(lines: pd.DataFrame) -> None:
    """ValueError where a law would be of two engines, kernels or cards."""
    for name in ("engine", "attention", "device"):
        if name in lines and len(found := sorted(set(lines[name].astype(str)))) > 1:
            raise ValueError(f"{lines['method'].iloc[0]} was timed with {name} {' and '.join(found)}: give one of them")


def extrapolated(lines: pd.DataFrame, decode: int) -> dict[str, Any]:
    refuse_several(lines)
    found, first = step_law(lines), lines.iloc[0]
    ms = float(found.ms(np.arange(PROMPT, PROMPT + decode, dtype=float)).mean())
    fitted = found.ms(lines["middle"].to_numpy(float))
    return {
        **{name: first[name] for name in (*GROUP, "device", "versions", "commit")},
        "tokens_per_s": round(1e3 * first["batch"] / ms, 1),
        "peak_gib": round(float(np.polyval(found.peak, PROMPT + decode)) / GIB, 1),
        "ms_per_step": round(ms, 3),
        "misfit": round(float(np.abs(fitted / lines["ms"] - 1).max()), 4),
    }


def with_published(table: pd.DataFrame) -> pd.DataFrame:
    """With the published numbers of the same model, method, budget and decode."""
    theirs = published()
    for column, metric in (("published_tokens_per_s", "throughput"), ("published_gib", "memory")):
        values = {
            (row["task"], model_key(row["model"]), row["method"], none(row["tokens"])): row["value"]
            for row in theirs[theirs["metric"] == metric].to_dict("records")
        }
        table[column] = [
            values.get((f"decode_{row['decode']}", model_key(row["model"]), row["method"], none(row["tokens"])), np.nan)
            for row in table.to_dict("records")
        ]
    return table


def none(tokens: Any) -> int | None:
    return None if pd.isna(tokens) else int(tokens)


def throughput_markdown(table: pd.DataFrame) -> str:
    parts = []
    for decode, rows in table.groupby("decode"):
        cells = pd.DataFrame(
            {
                "method": rows["method"],
                "budget": formatted(rows["tokens"], "{}"),
                "tok/s": formatted(rows["tokens_per_s"], "{:,.0f}"),
                "published tok/s": formatted(rows["published_tokens_per_s"], "{:,.0f}"),
                "times": formatted(rows["tokens_per_s"] / rows["published_tokens_per_s"], "{:.2f}"),
                "GiB": formatted(rows["peak_gib"], "{:.1f}"),
                "published GiB": formatted(rows["published_gib"], "{:.1f}"),
                "ms a step": formatted(rows["ms_per_step"], "{:.2f}"),
                "misfit": formatted(rows["misfit"], "{:.1%}"),
                "whole decode timed, tok/s": formatted(rows["whole_tokens_per_s"], "{:,.0f}"),
            }
        )
        first = rows.iloc[0]
        parts.append(
            f"## {first.model}, batch {first.batch}, {PROMPT} + {decode:,} tokens, {first.device}\n\n{piped(cells)}"
        )
    return "\n\n".join(parts) + "\n"


def throughput_bars(table: pd.DataFrame) -> Figure:
    """Tokens a second, ours in colour, the published ones as outlines over them."""
    look = Look(table["method"])
    decodes = list(table.groupby("decode"))
    figure, axes = panels([f"{PROMPT} + {decode:,} tokens" for decode, _ in decodes])
    figure.set_size_inches(PANEL[0] * 1.6 * len(decodes), PANEL[1] * 1.3)
    for axis, (_, rows) in zip(axes, decodes, strict=True):
        labels = []
        for place, row in enumerate(rows.to_dict("records")):
            looks = {"label": row["method"]} | look.of[row["method"]]
            axis.bar(place, row["tokens_per_s"], color=looks["color"], label=looks["label"])
            label = "VaSE, as published"
            axis.bar(place, row["published_tokens_per_s"], width=0.5, color="white", edgecolor="0.2", label=label)
            labels.append("dense" if pd.isna(row["tokens"]) else f"{row['tokens']:,}")
        axis.set_xticks(range(len(labels)), labels, rotation=90)
        axis.set(xlabel="budget", ylabel="tokens a second")
    legend(figure, axes)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(
        prog="python -m kvarena.analysis.studies.throughput", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("benchmark", type=Path, metavar="BENCHMARK.csv", help="what kvarena-benchmark wrote")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the files go (default: beside it)")
    arguments = parser.parse_args(argv)
    try:
        table = throughput(pd.read_csv(arguments.benchmark))
    except (ValueError, KeyError, OSError) as error:
        print(f"throughput: {arguments.benchmark}: {error}", file=sys.stderr)
        return 2
    output = arguments.output or arguments.benchmark.parent
    make_folder(output, "--output")
    replace_file(output / "throughput.csv", table.to_csv(index=False))
    replace_file(output / "throughput.md", throughput_markdown(table))
    with house_style():
        write_figure(throughput_bars(table), output / "throughput.png")
    print(throughput_markdown(table), end="")
    print(f"wrote {output}/throughput.csv, .md and .png")
    return 0


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
