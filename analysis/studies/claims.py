"""What VaSE's pilot study says is better than what, counted over the tasks and ratios of another study.

Each claim is a pair of methods. A cell is one task at one ratio; in it the two are paired by problem, and a gain counts
where its 95 % interval excludes zero.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..likeness import unlike
from ..load import Run
from ..narrow import formatted, piped
from ..pairs import against
from ..published import published


class Claim(NamedTuple):
    what: str
    better: str
    than: str


CLAIMS = (
    Claim("an eighth of the slots for large values helps", "snapkv_values_eighth", "snapkv"),
    Claim("a quarter helps", "snapkv_values", "snapkv"),
    Claim("half of them helps", "snapkv_values_half", "snapkv"),
    Claim("sampling helps", "snapkv_sample", "snapkv"),
    Claim("a quarter and sampling help", "vase_attnv", "snapkv"),
    Claim("half and sampling help", "vase_attnv_half", "snapkv"),
    Claim("a projection drawn anew helps", "vase_dkv", "curdkv_vase"),
    Claim("large values matter more than any", "evict_random", "evict_large"),
    Claim("eviction beats selection", "vase_attnv", "quest"),
    Claim("eviction beats selection", "vase_dkv", "quest"),
)
COLUMNS = ("claim", "better", "than", "published", "cells", "above", "below", "gain", "loop_gain")

Cell = tuple[tuple[str, str, str], float, str]  # setting, ratio, method


def claims(runs: Sequence[Run]) -> pd.DataFrame:
    """A row a claim: the published gain on GSM8K (nan: none), cells above and below zero, the mean gain of all.

    Of finished runs; ValueError for two of one cell.
    """
    cells = one_run_a_cell(runs)
    theirs = published().query("task == 'gsm8k' and metric == 'accuracy'").set_index("method")["value"] / 100
    rows = []
    for claim in CLAIMS:
        found = [
            against(run, other)
            for (setting, ratio, method), run in cells.items()
            if method == claim.better
            and (other := cells.get((setting, ratio, claim.than)))
            and not unlike(run, other).differs
        ]
        if found:
            gain = theirs.get(claim.better, np.nan) - theirs.get(claim.than, np.nan)
            rows.append(claim_row(claim, float(gain), found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def one_run_a_cell(runs: Iterable[Run]) -> dict[Cell, Run]:
    """The finished run of each setting, ratio and method; ValueError for two of one."""
    found: dict[Cell, Run] = {}
    for run in runs:
        if run.is_whole:
            cell = run.setting, run.labels.ratio, run.labels.named
            if (other := found.setdefault(cell, run)) is not run:
                raise ValueError(f"{other.name} and {run.name} are of one method, ratio and task: give one")
    return found


def claim_row(claim: Claim, gain: float, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        **dict(zip(COLUMNS, (*claim, gain), strict=False)),
        "cells": len(found),
        "above": sum(cell["gain_low"] > 0 for cell in found),
        "below": sum(cell["gain_high"] < 0 for cell in found),
        "gain": float(np.mean([cell["gain"] for cell in found])),
        "loop_gain": float(np.mean([cell["loop_gain"] for cell in found])),
    }


def claims_markdown(table: pd.DataFrame) -> str:
    gains = {name: formatted(table[name], "{:+.2f}") for name in ("published", "gain", "loop_gain")}
    counts = {name: formatted(table[name], "{}") for name in ("cells", "above", "below")}
    return piped(table.assign(**gains, **counts))
