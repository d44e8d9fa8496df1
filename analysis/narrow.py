"""The results as people read them: a block for each task, difficulty and model, for the terminal or as Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from .setting import settings

LEGEND = (
    "accuracy: pass@1 with its 95 % interval over problems; vs dense: paired by problem, † where its "
    "interval excludes zero; slots per KV head, mean over layers"
)
MISSING = "-"
TEXT = ("method", "run", "note")  # aligned left; numbers to the right


def narrow_text(results: pd.DataFrame) -> str:
    parts = [f"{heading}\n\n{aligned(block)}" for heading, block in setting_blocks(results)]
    return "\n\n\n".join([*parts, LEGEND]) + "\n"


def narrow_markdown(results: pd.DataFrame) -> str:
    parts = [f"## {heading}\n\n{piped(block)}" for heading, block in setting_blocks(results)]
    return "\n\n".join([*parts, LEGEND]) + "\n"


def setting_blocks(results: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The heading of each block, and its cells as text."""
    for heading, rows in settings(results):
        yield heading, cells(rows)


def cells(rows: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "method": rows["method"],
        "ratio": formatted(rows["ratio"], "{:.3g}x"),
        "budget": formatted(rows["tokens"], "{}"),
        **({"bytes": formatted(rows["bytes_share"], "{:.1%}")} if rows["bytes_share"].notna().any() else {}),
        "accuracy": rows.apply(accuracy, axis=1),
        "vs dense": rows.apply(gain, axis=1),
        "loops": formatted(rows["loop_rate"], "{:.1%}"),
        "truncated": formatted(rows["truncation_rate"], "{:.1%}"),
        "length": formatted(rows["mean_length"], "{:.0f}"),
        "peak slots": formatted(rows["peak_slots"], "{:.0f}"),
        "evictions": formatted(rows["evictions"], "{:.1f}"),
    }
    # rows that differ in their seed, say, are told apart by their folder
    if rows.duplicated(["method", "ratio", "tokens"]).any():
        columns["run"] = rows["run"]
    return pd.DataFrame({**columns, "note": rows.apply(remarks, axis=1)})


def formatted(values: Iterable[Any], form: str) -> list[str]:
    return [MISSING if pd.isna(value) else form.format(value) for value in values]


def accuracy(row: pd.Series) -> str:
    if pd.isna(row.accuracy):
        return MISSING
    return f"{row.accuracy:.3f} [{row.accuracy_low:.3f}, {row.accuracy_high:.3f}]"


def gain(row: pd.Series) -> str:
    if pd.isna(row.gain):
        return MISSING
    return f"{row.gain:+.3f}{'†' if row.gain_low > 0 or row.gain_high < 0 else ' '}"


def remarks(row: pd.Series) -> str:
    """The note, and what else makes an accuracy stand for less than it says."""
    found = [row.note] if row.note else []
    if row.error_rate > 0:
        found.append(f"errors {row.error_rate:.1%}")
    if row.ungraded:
        found.append(f"ungraded {row.ungraded}")
    return "; ".join(found)


def aligned(cells: pd.DataFrame) -> str:
    header, *body = padded(cells)
    rule = ["-" * len(cell) for cell in header]
    return "\n".join("  ".join(line).rstrip() for line in [header, rule, *body])


def piped(cells: pd.DataFrame) -> str:
    header, *body = padded(cells)
    dashes = ["-" * (len(text) - 1) for text in header]
    rule = [f":{dash}" if name in TEXT else f"{dash}:" for name, dash in zip(cells.columns, dashes, strict=True)]
    body = [[text.replace("|", r"\|") for text in line] for line in body]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *body])


def padded(cells: pd.DataFrame) -> list[Sequence[str]]:
    """Header and rows, each column at one width."""
    columns = []
    for name in cells.columns:
        texts = [name, *cells[name]]
        align: Callable[[str, int], str] = str.ljust if name in TEXT else str.rjust
        columns.append([align(text, max(map(len, texts))) for text in texts])
    return list(zip(*columns, strict=True))
