"""kvarena-grade: judge the completions of finished runs anew, after a grader has changed. No model, no GPU."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from ..tasks.sources import read_jsonl
from ..tasks.task import Task
from .lock import locked
from .record import Record, RunFolder


def grade(folder: RunFolder) -> int:
    """Rewrite the records with fresh verdicts; returns how many scores changed."""
    run = folder.run()
    task: Task = instantiate(OmegaConf.create(run["config"]["task"]))
    source = task.samples if task.path is None else read_jsonl(task.path)
    samples = {source[i].id: source[i] for i in range(run["num_samples"])}
    before = folder.records()
    after = []
    for record in before:
        if record.sample not in samples:
            raise ValueError(f"{folder.records_file}: task {task.name} has no sample {record.sample}")
        after.append(judge(record, task, samples[record.sample].meta))
    folder.rewrite(after)
    return sum(old.score != new.score for old, new in zip(before, after, strict=True))


def judge(record: Record, task: Task, meta: Mapping[str, Any]) -> Record:
    if record.stop == "error":
        return record
    verdict = task.grader(record.completion, record.target, meta)
    return replace(record, score=verdict.score, answer=verdict.answer, note=verdict.note)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="kvarena-grade", description=__doc__)
    parser.add_argument("runs_dir", type=Path, help="a run folder, or any folder above some")
    folders = [RunFolder(path=path.parent) for path in sorted(parser.parse_args(argv).runs_dir.rglob("run.json"))]
    try:
        if not folders:
            raise ValueError("no run.json below that folder")
        for folder in folders:
            with locked(folder.path):
                print(f"{folder.path}: {grade(folder)} scores changed")
    except ValueError as error:
        print(f"kvarena-grade: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
