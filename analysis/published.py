"""Accuracy as published (published.csv, each number with its caveats) beside what was measured here."""

from importlib.resources import files

import pandas as pd

COLUMNS = ("task", "model", "method", "tokens", "accuracy", "accuracy_low", "accuracy_high", "published_tokens")
LATER = ("published", "published_as", "caveat", "source", "run")


def published() -> pd.DataFrame:
    """Accuracy in percent; tokens is the budget, missing for dense; method is missing where kvarena has none."""
    with files("kvarena.analysis").joinpath("published.csv").open() as file:
        return pd.read_csv(file).astype({"tokens": "Int64"})


def beside(results: pd.DataFrame) -> pd.DataFrame:
    """A row for each run whose task, model and method were published, once for each published budget."""
    theirs = published().query("metric == 'accuracy'").dropna(subset="method")
    theirs = theirs.rename(columns={"tokens": "published_tokens", "value": "published"})
    keys = ["task", "method"]
    ours, theirs = results.assign(key=results["model"].map(key)), theirs.assign(key=theirs["model"].map(key))
    both = ours.merge(theirs.drop(columns=["model", "draws"]), on=[*keys, "key"])
    return both[[*COLUMNS, *LATER]]


def key(model: str) -> str:
    """Qwen3-4B and qwen3_4b are one model."""
    return "".join(sign for sign in model.lower() if sign.isalnum())
