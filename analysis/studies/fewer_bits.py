"""What fewer bits a slot are worth at equal bytes: pairs over problems, and a figure of all caches.

    python -m kvarena.analysis.studies.fewer_bits RUNS_DIR OUTPUT

Writes OUTPUT.csv of the finished runs below a folder, and OUTPUT.png of those without a mark (analysis/marks.py). A row
is two runs of one setting, a minus b: a method at one share of dense's bytes (compression.bytes) in two caches, a the
one with more slots; or a method beside dense in a cache that takes no more bytes. Of forced texts OUTPUT.csv has how
many times the KL of b that of a is.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import DENSE, replace_file, write_figure
from ..drift_pairs import ratio_of
from ..fidelity import forced_runs, kl_of_texts
from ..load import Run, load
from ..marks import marks
from ..pairs import duel, table_order
from ..panels import Look, house_style, legend, panels
from ..setting import SETTING, settings
from ..stats import pass_at_1
from ..tables import results
from .command import study_command

BUDGETS = [*SETTING, "bytes", "a", "b", "bytes_share_a", "bytes_share_b", "tokens_a", "tokens_b"]
DRIFT_NAMES = [*BUDGETS, "common", "unlike", "times", "low", "high", "run_a", "run_b"]
NAMES = [*BUDGETS, "accuracy_a", "accuracy_b", "common", "gain", "gain_low", "gain_high"]
NAMES += ["loop_gain", "loop_gain_low", "loop_gain_high", "run_a", "run_b"]


def fewer_bits(runs: Iterable[Run]) -> pd.DataFrame:
    """A row two runs; ValueError where no two can be paired."""
    return table_of([pair_row(a, b) for a, b in couples(runs)], NAMES)


def fewer_bits_drift(runs: Iterable[Run]) -> pd.DataFrame:
    """The same of forced texts: KL of a over that of b on the same problem, with the interval of fidelity.py."""
    rows = []
    for a, b in couples(runs):
        found = ratio_of(a, b, kl_of_texts(a), kl_of_texts(b)).columns()
        named = {"a": a.labels.named, "b": b.labels.named, "run_a": a.name, "run_b": b.name}
        rows.append(budgets(a, b) | named | found)
    return table_of(rows, DRIFT_NAMES)


def table_of(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    if not rows:
        raise ValueError("no two finished runs have equal bytes: sweep compression.bytes and cache")
    table = pd.DataFrame(rows)[names].astype({"tokens_a": "Int64", "tokens_b": "Int64"})
    return table.sort_values([*SETTING, "bytes", "a", "b"], ignore_index=True)


def couples(runs: Iterable[Run]) -> Iterator[tuple[Run, Run]]:
    settings: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=table_order):
        if run.is_whole:
            settings[run.setting].append(run)
    for group in settings.values():
        yield from comparable(group)


def comparable(group: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    asked = [run for run in group if asked_bytes(run)]
    for a, b in permutations(asked, 2):
        alike = a.labels.method == b.labels.method and asked_bytes(a) == asked_bytes(b)
        if alike and (a.labels.tokens or 0) > (b.labels.tokens or 0):
            yield a, b
    dense = [run for run in group if run.labels.method == DENSE and run.header.get("bytes_share")]
    for run in asked:
        small = [other for other in dense if share_taken(other) <= share_taken(run)]
        if small:
            yield run, max(small, key=share_taken)


def asked_bytes(run: Run) -> float | None:
    return run.config.get("compression", {}).get("bytes")


def share_taken(run: Run) -> float:
    """Of dense's bytes, that the budget comes to."""
    return run.header["bytes_share"]


def pair_row(a: Run, b: Run) -> dict[str, Any]:
    right = {f"accuracy_{side}": pass_at_1(run.outcomes).value for side, run in (("a", a), ("b", b))}
    return budgets(a, b) | right | duel(a, b)


def budgets(a: Run, b: Run) -> dict[str, Any]:
    found = dict(zip(SETTING, a.setting, strict=True)) | {"bytes": asked_bytes(a)}
    for side, run in (("a", a), ("b", b)):
        found |= {f"bytes_share_{side}": share_taken(run), f"tokens_{side}": run.labels.tokens}
    return found


def fewer_bits_figure(table: pd.DataFrame) -> Figure:
    """A panel a setting and share of dense's bytes, of `results` without a mark: a line a method, a colour a cache."""
    method, cache = (table["method"].str.partition(" + ")[i] for i in (0, 2))
    table = table.assign(method=method, cache=cache.replace("", "plain"), mark=marks(table))
    table = table[(table["mark"] == "") & table["bytes"].notna()]
    methods = sorted(set(table["method"]), reverse=True)
    caches = (table["tokens"] / table["bytes"]).groupby(table["cache"]).mean().sort_values().index
    looks = Look(caches)
    blocks = [(name, share, block) for name, rows in settings(table) for share, block in rows.groupby("bytes")]
    figure, axes = panels([f"{name}\n{share:g} of dense's bytes" for name, share, _ in blocks])
    for axis, (*_, block) in zip(axes, blocks, strict=True):
        for i, name in enumerate(caches):
            own = block[block["cache"] == name]
            places = [methods.index(each) + 0.18 * ((len(caches) - 1) / 2 - i) for each in own["method"]]
            spread = [own["accuracy"] - own["accuracy_low"], own["accuracy_high"] - own["accuracy"]]
            look = looks.of[name] | {"markersize": 3.5, "linestyle": "", "elinewidth": 1}
            axis.errorbar(own["accuracy"], places, xerr=np.maximum(spread, 0), **look)
        axis.set(yticks=range(len(methods)), yticklabels=methods, ylim=(-0.6, len(methods) - 0.4))
        axis.set(xlim=(-0.03, 1.03), xlabel="pass@1")
    legend(figure, axes)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    if forced := forced_runs(runs := load(runs_dir)):
        replace_file(output.with_suffix(".csv"), fewer_bits_drift(forced).to_csv(index=False, float_format="%.4g"))
        return
    replace_file(output.with_suffix(".csv"), fewer_bits(runs).to_csv(index=False, float_format="%.4f"))
    with house_style():
        write_figure(fewer_bits_figure(results(runs)), output.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
