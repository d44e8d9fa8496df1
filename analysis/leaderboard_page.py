"""The leaderboard as people read it: Markdown, a table for each task and model, its methods by budget and rank."""

from collections.abc import Sequence

import pandas as pd

from .narrow import MISSING, accuracy, formatted, piped
from .setting import settings
from .standings import WITHIN

LEGEND = (
    "rank: among the methods that do with no more cache bytes, from one more than those that are better to all that "
    "are not worse, by the 95 % interval of the difference, paired by problem; ranks overlap where that holds zero. "
    f"Each other method counts by its run of most bytes that holds at most {WITHIN - 1:.0%} more; runs that differ in "
    "more than their method are not compared. accuracy: pass@1 with its 95 % interval over problems. MB: the cache of "
    "the largest row at its peak"
)


def leaderboard_markdown(table: pd.DataFrame, sources: Sequence[str]) -> str:
    parts = [f"## {heading}\n\n{piped(readable_rows(rows))}" for heading, rows in settings(table)]
    of = ", ".join(f"`{source}`" for source in sources)
    return "\n\n".join([f"# Leaderboard\n\n{len(table)} rows of {of}.", *parts, LEGEND]) + "\n"


def readable_rows(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ratio": formatted(rows["ratio"], "{:.3g}x"),
            "rank": rows.apply(rank_range, axis=1),
            "method": rows["method"],
            "budget": formatted(rows["tokens"], "{}"),
            "MB": [MISSING if pd.isna(value) else f"{value / 1e6:.3g}" for value in rows["bytes"]],
            "accuracy": rows.apply(accuracy, axis=1),
            "loops": formatted(rows["loop_rate"], "{:.1%}"),
            "note": rows.apply(reservations, axis=1),
        }
    )


def rank_range(row: pd.Series) -> str:
    if pd.isna(row.rank_low):
        return MISSING
    ranks = f"{row.rank_low}" if row.rank_low == row.rank_high else f"{row.rank_low}-{row.rank_high}"
    return f"{ranks} of {row.rank_of}"


def reservations(row: pd.Series) -> str:
    found = [row.note] if row.note else []
    if row.unlike:
        found.append(f"not compared with {row.unlike}")
    if row.repeats:
        found.append(f"{row.repeats} more runs of it")
    return "; ".join(found)
