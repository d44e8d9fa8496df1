"""All runs of a folder in one small file: run.json, sessions and records, from which every table can be made again.

Tokens and texts are left out, which are nearly all of it; `texts=True` keeps the texts and what was asked. Of a run of
forced texts the drift of every token stays, for nothing else is in it. Unpacked, the file is a folder of runs as any
other for kvarena-report.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from ..runners.record import Record
from ..runners.record.questions import NAME as QUESTIONS
from .load import BY_TOKEN, Run, without_texts


def pack(runs: Iterable[Run], file: Path, texts: bool = False) -> None:
    """Write a .tar.xz, the same bytes for the same runs."""
    temporary = file.with_name(f"{file.name}.tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(temporary, "w:xz") as archive:
            for run in runs:
                add_run(archive, run, texts)
        temporary.replace(file)
    finally:  # a signal may have come before
        temporary.unlink(missing_ok=True)


def add_run(archive: tarfile.TarFile, run: Run, texts: bool) -> None:
    add(archive, f"{run.name}/{run.folder.run_file.name}", run.folder.run_file.read_bytes())
    if run.folder.sessions_file.exists():
        add(archive, f"{run.name}/{run.folder.sessions_file.name}", run.folder.sessions_file.read_bytes())
    questions = run.folder.path / QUESTIONS
    if texts and questions.exists():
        add(archive, f"{run.name}/{QUESTIONS}", questions.read_bytes())
    records = sorted(run.records(), key=lambda record: record.key)
    slim = [slimmed(record, texts, run.forces) for record in records]
    lines = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in slim)
    add(archive, f"{run.name}/{run.folder.records_file.name}", lines.encode())


def slimmed(record: Record, texts: bool, forced: bool) -> Record:
    drift = {name: getattr(record, name) for name in BY_TOKEN} if forced else {}
    return replace(without_texts(record), completion=record.completion if texts else "", **drift)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
