"""How fast a run went, on what, and beside which others its speed may stand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..runners.record import Session
from .load import Run


def speed_columns(run: Run) -> dict[str, Any]:
    return {
        "device": "; ".join(sorted(devices(run))),
        "engine": run.config.get("engine", {}).get("_target_", "").rpartition(".")[2],
        "batch_size": batch_size(run),
        **measured_speed(run.sessions()),
    }


def devices(run: Run) -> set[str]:
    """Of all sessions; none where they are not recorded."""
    known = [session.get("device", run.header.get("device")) for session in run.sessions()]
    return set(filter(None, known))


def batch_size(run: Run) -> int | None:
    """The smallest of the run, as those of before did not fit."""
    sizes = [run.config.get("engine", {}).get("batch_size"), *(one["to"] for one in run.header.get("halvings", []))]
    sizes += [size for session in run.sessions() for size in session.get("batch_sizes", [])]
    return min(filter(None, sizes), default=None)


def measured_speed(sessions: Sequence[Session]) -> dict[str, float]:
    """Of one worker, over all sessions, prompts included; NaN where none was timed."""
    seconds = sum(session["wall_s"] * session.get("num_workers", 1) for session in sessions)
    steps = sum(session["steps"] for session in sessions)
    return {
        "tokens_per_s": sum(session["tokens"] for session in sessions) / seconds if seconds else np.nan,
        "ms_per_step": 1000 * seconds / steps if steps else np.nan,
    }


def equal_memory(table: pd.DataFrame) -> pd.Series:
    """Tokens per second with the cache bytes of the dense run at most.

    Measured, never scaled: the fastest run of the same method and budget with a larger batch than dense that fits, of
    those that are paired with the same dense run and were timed on its device, by its engine: what either does not
    record is not known to be the same.
    """
    found = pd.Series(np.nan, index=table.index)
    total = table["batch_size"].astype(float) * table["resident_bytes"].astype(float)
    for base, block in table.groupby("dense"):
        (dense,) = block.index[block["run"] == base]
        fits = (total[block.index] <= total[dense]) & (block["batch_size"] > block.at[dense, "batch_size"])
        for name in ("device", "engine"):
            fits &= (block[name] == block.at[dense, name]) & (block[name] != "")
        best = block[fits].groupby(["method", "ratio"])["tokens_per_s"].max()
        keys = pd.MultiIndex.from_frame(block[["method", "ratio"]])
        found[block.index] = best.reindex(keys).to_numpy()
        found[dense] = table["tokens_per_s"].loc[dense]
    return found
