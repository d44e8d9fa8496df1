"""Texts of several tasks that were forced together, in one run a method: KL by task, and over that of one method.

    python -m kvarena.analysis.studies.by_task runs/forced snapkv by_task.csv [train=graph_search,sorting ...]

The id of a text begins with its task and a hyphen. Groups of tasks may be named, and stand beside each.
Values are geometric means over texts, with Student's intervals of 95 % (analysis/fidelity.py).
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ...runners.record import replace_file
from ..drift_pairs import ratio_of, times_over
from ..fidelity import ForcedText, forced_runs, geometric_mean, kl_of_texts, logs
from ..load import Run, load
from .command import study_command


def by_task(runs: Iterable[Run], base: str, parts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row a part, method and budget of finished runs; ValueError where `base` was not finished at a budget."""
    found = finished_cells(runs)
    rows = []
    for (method, tokens), run in found.items():
        if (base, tokens) not in found:
            raise ValueError(f"{base} was not finished at {tokens} tokens: nothing to compare {method} with")
        other = found[base, tokens]
        own, others = kl_of_texts(run), kl_of_texts(other)
        if (ratio := ratio_of(run, other, own, others)).unlike or own.keys() != others.keys():
            what = ratio.unlike or "texts"
            raise ValueError(f"{run.name} and {other.name} differ in {what}: give runs of the same texts")
        tasks = dict.fromkeys(task_of(text) for text in own)
        for part, members in {**{task: [task] for task in tasks}, "all": list(tasks), **parts}.items():
            ours, theirs = ({t: kl for t, kl in one.items() if task_of(t) in members} for one in (own, others))
            line = {"tasks": part, "method": method, "tokens": tokens, "texts": len(ours)}
            value, (_, times) = geometric_mean(list(logs(ours).values())), times_over(ours, theirs)
            line |= dict(zip(("kl", "kl_low", "kl_high"), value, strict=True))
            rows.append(line | dict(zip(("times", "times_low", "times_high"), times, strict=True)))
    return pd.DataFrame(rows).sort_values(["tokens", "tasks", "kl"], ignore_index=True)


def finished_cells(runs: Iterable[Run]) -> dict[tuple[str, int | None], Run]:
    """The finished run of each method and budget but dense; ValueError for two of one, or for none."""
    found: dict[tuple[str, int | None], Run] = {}
    for run in forced_runs(runs):
        cell = run.labels.named, run.labels.tokens
        counts = run.is_whole and not run.labels.is_dense
        if counts and found.setdefault(cell, run) is not run:
            raise ValueError(f"{found[cell].name} and {run.name} are both of {cell[0]} at {cell[1]} tokens: give one")
    if not found:
        raise ValueError("no run here has forced all of its texts: make some with kvarena-fidelity")
    return found


def task_of(text: ForcedText) -> str:
    return text.sample.partition("-")[0]


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, base, output, *named = sys.argv[1:] if arguments is None else arguments
    parts = {name: tasks.split(",") for name, _, tasks in (word.partition("=") for word in named)}
    replace_file(Path(output), by_task(load(runs_dir), base, parts).to_csv(index=False, float_format="%.4g"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
