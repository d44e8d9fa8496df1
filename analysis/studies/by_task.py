"""Texts of several tasks that were forced together, in one run a method: KL by task, and over that of one method.

    python -m kvarena.analysis.studies.by_task runs/forced snapkv by_task.csv [train=graph_search,sorting ...]

The id of a text begins with its task and a hyphen. Groups of tasks may be named, and stand beside each.
Values are geometric means over texts, with Student's intervals of 95 % (analysis/fidelity.py).
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..fidelity import forced_runs, geometric_mean, logs
from ..load import Run, load
from ..stats import Problem


def by_task(runs: Iterable[Run], base: str, parts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row a part, method and budget; ValueError where `base` was not run at a budget."""
    found = {(run.labels.named, run.labels.tokens): logs(run.records()) for run in forced_runs(runs)}
    rows = []
    for (method, tokens), own in found.items():
        if (base, tokens) not in found:
            raise ValueError(f"{base} was not run at {tokens} tokens: nothing to compare {method} with")
        others = found[base, tokens]
        tasks = dict.fromkeys(task_of(problem) for problem in own)
        for part, members in {**{task: [task] for task in tasks}, "all": list(tasks), **parts}.items():
            inside = [problem for problem in own if task_of(problem) in members and problem in others]
            value = geometric_mean([own[problem] for problem in inside])
            times = geometric_mean([own[problem] - others[problem] for problem in inside])
            line = {"tasks": part, "method": method, "tokens": tokens, "texts": len(inside)}
            line |= dict(zip(("kl", "kl_low", "kl_high"), value, strict=True))
            rows.append(line | dict(zip(("times", "times_low", "times_high"), times, strict=True)))
    return pd.DataFrame(rows).sort_values(["tokens", "tasks", "kl"], ignore_index=True)


def task_of(problem: Problem) -> str:
    return problem[0].partition("-")[0]


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, base, output, *named = sys.argv[1:] if arguments is None else arguments
    parts = {name: tasks.split(",") for name, _, tasks in (word.partition("=") for word in named)}
    by_task(load(runs_dir), base, parts).to_csv(Path(output), index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
