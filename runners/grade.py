"""kvarena-grade: judge the completions of finished runs anew, by their own grader or another. No weights, no GPU.

`grader=exact` names one of conf/grader, or the task whose grader it is; `grader._target_=mine.MyGrader` any other.
"""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ..tasks.sample import Sample
from ..tasks.task import Task
from ..tasks.thought import CLOSE, OPEN
from .interrupt import shield
from .job.errors import USER_ERRORS, one_line
from .job.recorded_task import task_of
from .model import Checkpoint
from .plugins import config_folders
from .record import LineParser, Record, RunFolder, append_line, locked, positive, run_folders
from .workers import opens_thought

VERDICT = ("score", "answer", "note")


class Judged(NamedTuple):
    record: Record
    kept: str = ""  # why its verdict stands, though it could not be judged


def grade(folder: RunFolder, pool: Executor, ungraded: bool = False, grader: DictConfig | None = None) -> str:
    """Rewrite the records with fresh verdicts, of all or of those without one; returns what changed, and why."""
    run = folder.run()
    before = folder.records()
    due = {record.key for record in before if record.score is None or not ungraded}
    if not due:
        return "all graded"
    task, asked = task_of(folder, run, grader)
    samples = {sample.id: sample for sample in task.samples[: run["num_samples"]]}
    for record in before:
        if record.sample not in samples:
            raise ValueError(f"{folder.records_file}: task {task.name} has no sample {record.sample}")
        if record.target != samples[record.sample].target:
            raise ValueError(
                f"{folder.records_file}: sample {record.sample} has another target than when it was run: "
                "give task.samples.revision or task.path of then in run.json"
            )
    opened = prompts_open_thought(run, before)
    judged = list(pool.map(partial(regrade, task=task, samples=samples, due=due, opened=opened), before))
    after = [verdict.record for verdict in judged]
    with shield():
        remember(folder, before, after, OmegaConf.to_container(asked))
        folder.rewrite(after)
    return "\n".join([verdict_changes(before, after), *kept(judged)])


def regrade(
    record: Record, task: Task, samples: Mapping[str, Sample], due: Set[tuple[str, int]], opened: bool
) -> Judged:
    """A verdict is replaced by a verdict alone, never by none."""
    if record.key not in due or record.stop == "error" or record.kl is not None:
        return Judged(record)
    if not record.completion and len(record.token_ids) < record.num_tokens:
        return Judged(record, "its text was left out when it was packed")
    try:
        grade = task.grade(record.completion, samples[record.sample], opened)
    except Exception as error:  # code of another grader
        return Judged(record, f"the grader ended in {type(error).__name__}: {one_line(error)}")
    if grade.score is None and record.score is not None:
        return Judged(record, grade.note)
    names = (*VERDICT, "second_opinion", "score_unfinished")
    return Judged(replace(record, **{name: getattr(grade, name) for name in names}))


def prompts_open_thought(run: Mapping[str, Any], records: Sequence[Record]) -> bool:
    """As run.json has it. In older runs: as most completions show that mark a thought, else by the chat template."""
    if "opens_thought" in run:
        return run["opens_thought"]
    ended = [CLOSE in record.completion.partition(OPEN)[0] for record in records if CLOSE in record.completion]
    begun = any(OPEN in record.completion for record in records)
    if ended or begun:
        return 2 * sum(ended) > len(ended)
    model: Checkpoint = instantiate(run["config"]["model"])
    return any(record.completion for record in records) and opens_thought(model.tokenizer())


def remember(folder: RunFolder, before: Sequence[Record], after: Sequence[Record], grader: Any) -> None:
    """Add the verdicts that change to those of before."""
    time = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [
        {
            "time": time,
            "grader": grader,
            "sample": new.sample,
            "draw": new.draw,
            "before": verdict(old),
            "after": verdict(new),
        }
        for old, new in zip(before, after, strict=True)
        if verdict(old) != verdict(new)
    ]
    if lines:
        append_line(folder.verdicts_file, *lines)


def verdict(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in VERDICT}


def verdict_changes(before: Sequence[Record], after: Sequence[Record]) -> str:
    """One line, and one for each kind of change."""
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if old.score != new.score]
    ungraded = sum(record.score is None for record in after)
    differs = sum(record.second_opinion not in (None, record.score) for record in after if record.score is not None)
    kinds = Counter(f"{_named(old)} -> {_named(new)}" for old, new in pairs)
    first = f"{len(pairs)} of {len(after)} scores changed, {ungraded} ungraded, {differs} with another second opinion"
    return "\n".join([first, *(f"  {count} x {kind}" for kind, count in kinds.most_common())])


def kept(judged: Sequence[Judged]) -> list[str]:
    reasons = Counter(verdict.kept for verdict in judged if verdict.kept)
    return [f"  {count} x kept, since it cannot be judged now ({reason})" for reason, count in reasons.most_common()]


def _named(record: Record) -> str:
    name = {1.0: "right", 0.0: "wrong", None: "ungraded"}.get(record.score, f"score {record.score}")
    return f"{name} ({record.note})" if record.note else name


def grader_of(overrides: Sequence[str]) -> DictConfig | None:
    """What grader=NAME and grader.KEY=VALUE make; None without any: each run's own."""
    for override in overrides:
        if not override.startswith(("grader=", "grader.")):
            raise ValueError(f"{override}: only grader=NAME and grader.KEY=VALUE can be given")
    names = [override.partition("=")[2] for override in overrides if override.startswith("grader=")]
    keys = OmegaConf.from_dotlist([override for override in overrides if override.startswith("grader.")])
    parts = [named(name) for name in names] + ([keys.grader] if keys else [])
    return OmegaConf.merge(*parts) if parts else None  # type: ignore[return-value]


def named(name: str) -> DictConfig:
    """A grader of conf/grader, or that of a task."""
    folders = config_folders()
    for file in (folder / f"grader/{name}.yaml" for folder in folders):
        if file.is_file():
            return OmegaConf.create(file.read_text())  # type: ignore[return-value]
    for task in (folder / f"task/{name}.yaml" for folder in folders):
        if task.is_file():
            return OmegaConf.create(task.read_text()).task.grader
    there = [folder / "grader" for folder in folders if (folder / "grader").is_dir()]
    names = sorted(path.name.removesuffix(".yaml") for folder in there for path in folder.iterdir())
    raise ValueError(f"grader={name}: use {', '.join(names)}, the name of a task, or grader._target_=CLASS")


def main(argv: Sequence[str] | None = None) -> int:
    parser = LineParser(prog="kvarena-grade", description="Judge the completions of finished runs anew.")
    parser.add_argument("runs_dir", type=Path, help="a run folder, or any folder above some")
    parser.add_argument("overrides", nargs="*", metavar="grader=", help="another grader: grader=NAME, grader.KEY=VALUE")
    parser.add_argument("--num-workers", type=positive, default=os.cpu_count(), help="completions judged at a time")
    parser.add_argument("--ungraded", action="store_true", help="leave the verdicts that are there")
    arguments = parser.parse_intermixed_args(argv)
    try:
        folders = [RunFolder(path=path) for path in run_folders(arguments.runs_dir)]
        grader = grader_of(arguments.overrides)
        if not folders:
            raise ValueError(f"RUNS_DIR={arguments.runs_dir}: no run.json below it, give a run's folder, or one above")
        with ThreadPoolExecutor(arguments.num_workers) as pool:
            for folder in folders:
                with locked(folder.path):
                    print(f"{folder.path}: {grade(folder, pool, arguments.ungraded, grader)}", flush=True)
    except USER_ERRORS as error:
        print(f"kvarena-grade: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
