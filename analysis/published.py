"""Accuracy as published (published.csv, each number with its caveats) beside what was measured here.

The difference has an interval of 95 % where both have one budget: our own interval (intervals.py) and the
published value's sampling error, added in quadrature on each side. That error is binomial over problems x draws, as if
every completion were a problem of its own; nothing more is known of it. The two agree where the interval holds zero.
It is wide rather than narrow: both sides had the same problems, which neither interval knows.
"""

from collections.abc import Iterable
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.stats import norm

from .intervals import LEVEL
from .load import Run
from .protocol import departures

COLUMNS = ("task", "model", "method", "tokens", "accuracy", "accuracy_low", "accuracy_high", "published_tokens")
COMPARED = ("difference", "difference_low", "difference_high", "agrees")  # in percent, as the published value
LATER = ("published_as", "not_comparable", "caveat", "source", "run")


def published() -> pd.DataFrame:
    """Accuracy in percent; tokens is the budget, missing for dense; method is missing where kvarena has none."""
    with files("kvarena.analysis").joinpath("published.csv").open() as file:
        return pd.read_csv(file).astype({"tokens": "Int64", "problems": "Int64"})


def beside_published(results: pd.DataFrame, runs: Iterable[Run]) -> pd.DataFrame:
    """A row for each run whose task, model and method were published, once for each published budget."""
    results = as_vase_grades(results)
    theirs = published().query("metric == 'accuracy'").dropna(subset="method")
    theirs = theirs.rename(columns={"tokens": "published_tokens", "value": "published", "draws": "published_draws"})
    keys = ["task", "method"]
    ours, theirs = (
        results.assign(key=results["model"].map(model_key)),
        theirs.assign(key=theirs["model"].map(model_key)),
    )
    both = ours.merge(theirs.drop(columns="model"), on=[*keys, "key"])
    by_name = {run.name: run for run in runs}
    reasons = [
        departures(by_name[name], problems) for name, problems in zip(both["run"], both["problems"], strict=True)
    ]
    return compared(both.assign(not_comparable=reasons))[[*COLUMNS, "published", *COMPARED, *LATER]]


def as_vase_grades(results: pd.DataFrame) -> pd.DataFrame:
    """With the last answer of a thought that has not ended counted, where the records have that."""
    names = ("accuracy", "accuracy_low", "accuracy_high")
    known = results["accuracy_unfinished"].notna()
    unfinished = {name: results[name.replace("accuracy", "accuracy_unfinished")] for name in names}
    return results.assign(**{name: results[name].where(~known, unfinished[name]) for name in names})


def compared(both: pd.DataFrame) -> pd.DataFrame:
    """With the difference to the published value; missing where budgets or protocols differ, or nothing is graded."""
    share = both["published"] / 100
    number = (both["problems"] * both["published_draws"]).astype(float)
    error = float(norm.ppf(0.5 + LEVEL / 2)) * np.sqrt(share * (1 - share) / number)
    same = (both["tokens"].fillna(0) == both["published_tokens"].fillna(0)) & (both["not_comparable"] == "")
    gap = (both["accuracy"] - share).where(same)
    low = gap - np.hypot(both["accuracy"] - both["accuracy_low"], error)
    high = gap + np.hypot(both["accuracy_high"] - both["accuracy"], error)
    agrees = ((low <= 0) & (high >= 0)).astype("boolean").where(gap.notna())
    parts = {"difference": 100 * gap, "difference_low": 100 * low, "difference_high": 100 * high, "agrees": agrees}
    return both.assign(**parts)


def agreement_text(table: pd.DataFrame) -> str:
    """The rows of one budget as lines, how many agree, and what is not comparable; empty where there are none."""
    rows, others = table[table["agrees"].notna()], not_comparable(table)
    if rows.empty:
        return "\n".join(others)
    lines = ["measured - published, percent, 95 %"]
    for row in rows.to_dict("records"):
        budget = "" if pd.isna(row["tokens"]) else f", {row['tokens']} tokens"
        lines.append(
            f"  {'agrees ' if row['agrees'] else 'differs'} {row['difference']:+6.1f} "
            f"[{row['difference_low']:+.1f}, {row['difference_high']:+.1f}]  "
            f"{row['method']} on {row['task']}, {row['model']}{budget}: "
            f"{100 * row['accuracy']:.1f} beside {row['published']:.1f} ({row['published_as']})"
        )
    return "\n".join([*lines, f"  {int(rows['agrees'].sum())} of {len(rows)} agree", *others])


def not_comparable(table: pd.DataFrame) -> list[str]:
    """A line a run that has a published number to its task, model and method, and why it does not stand beside it."""
    rows = table[table["not_comparable"] != ""].drop_duplicates("run")
    names = ("method", "task", "model", "not_comparable")
    found = rows[list(names)].itertuples(index=False, name=None)
    return [f"  not comparable: {method} on {task}, {model}: {reason}" for method, task, model, reason in found]


def model_key(model: str) -> str:
    """Qwen3-4B and qwen3_4b are one model."""
    return "".join(sign for sign in model.lower() if sign.isalnum())
