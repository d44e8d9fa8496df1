"""kvarena-export: runs as logs of inspect_ai, a .eval file each. No weights, no GPU; extra `inspect`."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..job.errors import USER_ERRORS, one_line
from ..job.recorded_task import task_of
from ..record import Labels, LineParser, RunFolder, file_name, make_folder, read_questions, run_folders


def main(argv: Sequence[str] | None = None) -> int:
    parser = LineParser(prog="kvarena-export", description=__doc__)
    parser.add_argument("runs_dir", type=Path, help="a run folder, or any folder above some")
    parser.add_argument("output_dir", type=Path, help="where the .eval files go")
    arguments = parser.parse_args(argv)
    try:
        if find_spec("inspect_ai") is None:
            raise ValueError("needs inspect_ai: pip install 'kvarena[inspect]'")
        paths = run_folders(arguments.runs_dir)
        if not paths:
            raise ValueError(f"RUNS_DIR={arguments.runs_dir}: no run.json below it, give a run's folder, or one above")
        make_folder(arguments.output_dir, "OUTPUT_DIR")
        for path in paths:
            place = path.relative_to(arguments.runs_dir)
            name = "-".join(map(file_name, place.parts)) or file_name(path.resolve().name)
            print(export(RunFolder(path=path), arguments.output_dir / f"{name}.eval"), flush=True)
    except USER_ERRORS as error:
        print(f"kvarena-export: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def export(folder: RunFolder, file: Path) -> str:
    """Write the log; returns what became of it."""
    from inspect_ai.log import write_eval_log  # pyright: ignore[reportMissingImports]  # an extra

    from .inspect_log import inspect_log

    run = folder.run()
    if any(run.get("config", {}).get(key) for key in ("reference", "texts")):
        return f"{folder.path}: left out, its texts were forced"
    labels, questions = Labels.read(run, folder.run_file), questions_of(folder, run)
    records = sorted(folder.records(), key=lambda record: record.key)
    if unknown := sorted({record.sample for record in records} - questions.keys()):
        raise ValueError(f"{folder.records_file}: task {labels.task} has no sample {unknown[0]}")
    write_eval_log(inspect_log(run, labels, questions, records), str(file), format="eval")
    return f"{file}: {len(records)} of {run['num_samples'] * run['num_draws']} samples"


def questions_of(folder: RunFolder, run: Mapping[str, Any]) -> dict[str, str]:
    """By sample, as the run wrote them; where it did not, by its task built anew."""
    if questions := read_questions(folder.path):
        return questions
    task, _ = task_of(folder, run)
    return {sample.id: sample.question for sample in task.samples[: run["num_samples"]]}


if __name__ == "__main__":
    sys.exit(main())
