"""kvarena-grade: judge the completions of finished runs anew, after a grader has changed. No model, no GPU."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from ..tasks.sample import Sample
from ..tasks.task import Task
from .job.errors import USER_ERRORS, one_line
from .record import Record, RunFolder, locked


def grade(folder: RunFolder, pool: Executor, ungraded: bool = False) -> str:
    """Rewrite the records with fresh verdicts, of all or of those without one; returns what changed, and why."""
    run = folder.run()
    before = folder.records()
    due = {record.key for record in before if record.score is None or not ungraded}
    if not due:
        return "all graded"
    task: Task = instantiate(OmegaConf.create(run["config"]["task"]))
    samples = {sample.id: sample for sample in task.samples[: run["num_samples"]]}
    for record in before:
        if record.sample not in samples:
            raise ValueError(f"{folder.records_file}: task {task.name} has no sample {record.sample}")
        if record.target != samples[record.sample].target:
            raise ValueError(
                f"{folder.records_file}: sample {record.sample} has another target than when it was run: "
                "give task.samples.revision or task.path of then in run.json"
            )
    judged = partial(regrade_due, task=task, samples=samples, due=due)
    after = list(pool.map(judged, before))
    folder.rewrite(after)
    return summary(before, after)


def regrade_due(record: Record, task: Task, samples: Mapping[str, Sample], due: Set[tuple[str, int]]) -> Record:
    return regrade(record, task, samples[record.sample].meta) if record.key in due else record


def regrade(record: Record, task: Task, meta: Mapping[str, Any]) -> Record:
    if record.stop == "error":
        return record
    verdict = task.grader(record.completion, record.target, meta)
    return replace(
        record,
        score=verdict.score,
        answer=verdict.answer,
        note=verdict.note,
        second_opinion=verdict.second_opinion,
    )


def summary(before: Sequence[Record], after: Sequence[Record]) -> str:
    """One line, and one for each kind of change."""
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if old.score != new.score]
    ungraded = sum(record.score is None for record in after)
    differs = sum(record.second_opinion not in (None, record.score) for record in after if record.score is not None)
    kinds = Counter(f"{_verdict(old)} -> {_verdict(new)}" for old, new in pairs)
    first = f"{len(pairs)} of {len(after)} scores changed, {ungraded} ungraded, {differs} with another second opinion"
    return "\n".join([first, *(f"  {count} x {kind}" for kind, count in kinds.most_common())])


def _verdict(record: Record) -> str:
    name = {1.0: "right", 0.0: "wrong", None: "ungraded"}.get(record.score, f"score {record.score}")
    return f"{name} ({record.note})" if record.note else name


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="kvarena-grade", description=__doc__)
    parser.add_argument("runs_dir", type=Path, help="a run folder, or any folder above some")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="completions judged at a time")
    parser.add_argument("--ungraded", action="store_true", help="leave the verdicts that are there")
    arguments = parser.parse_args(argv)
    folders = [RunFolder(path=path.parent) for path in sorted(arguments.runs_dir.rglob("run.json"))]
    try:
        if not folders:
            raise ValueError("no run.json below that folder")
        with ThreadPoolExecutor(arguments.num_workers) as pool:
            for folder in folders:
                with locked(folder.path):
                    print(f"{folder.path}: {grade(folder, pool, arguments.ungraded)}", flush=True)
    except USER_ERRORS as error:
        print(f"kvarena-grade: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
