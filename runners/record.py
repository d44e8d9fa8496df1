"""What a run leaves behind: run.json once at the start, records.jsonl a line for each completion.

Every line is on the disk before the next one is begun; a line that a crash tore is cut off when the run goes on.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Record:
    sample: str
    draw: int
    token_ids: list[int]  # without the prompt
    completion: str  # the text of token_ids, and all that is graded
    answer: str
    target: str
    score: float | None  # null: ungraded
    note: str
    stop: Literal["eos", "length", "loop", "error"]
    prompt_tokens: int
    num_tokens: int
    num_evictions: int
    peak_slots: float  # slots per KV head, mean over layers
    mean_slots: float  # the same, mean over decode steps
    tokens_read: float  # slots attended to, mean over decode steps, layers and KV heads
    resident_bytes: int  # of the row's cache at its peak, what the method asks for included
    loop_onset: int | None  # index in token_ids where the closing repetition begins; null: no loop
    loop_period: int | None  # tokens
    prefill_s: float
    decode_s: float
    second_opinion: float | None = None  # 1 if answer and target are equal as text; null: no such opinion
    # how repetitive it is (runners/loops.py); null in the records of older runs
    loop_character: int | None = None  # index in completion where the closing repetition begins
    loop_strict: bool | None = None
    seq_rep_4: float | None = None
    distinct_4: float | None = None
    zlib_ratio: float | None = None
    repeated_lines: float | None = None
    vase_class: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.sample, self.draw


def parse(line: str) -> Record:
    return Record(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    path: Path

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def records_file(self) -> Path:
        return self.path / "records.jsonl"

    @property
    def sessions_file(self) -> Path:
        return self.path / "sessions.jsonl"

    def run(self) -> dict[str, Any]:
        return json.loads(self.run_file.read_text())

    def check(self, identity: str) -> None:
        """Refuse a folder that holds something else than the run of this identity."""
        if not self.run_file.exists():
            if self.path.exists() and any(self.path.iterdir()):
                raise ValueError(f"output_dir={self.path} is not empty and holds no run.json: choose another folder")
        elif self.run()["identity"] != identity:
            raise ValueError(
                f"output_dir={self.path} holds a run of another config: choose another folder, or delete this one"
            )

    def begin(self, run: Mapping[str, Any]) -> None:
        """Write run.json, unless the run was begun before."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.run_file.exists():
            replace(self.run_file, json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def records(self) -> list[Record]:
        """All finished records; a torn last line is left out."""
        records = list(self.stream())
        if len({record.key for record in records}) < len(records):
            raise ValueError(f"{self.records_file} has two records of one sample and draw: delete the later one")
        return records

    def stream(self) -> Iterator[Record]:
        """The same, one at a time and unchecked: they hold every token."""
        if self.records_file.exists():
            with self.records_file.open("rb") as file:
                yield from (parse(line.decode()) for line in file if line.endswith(b"\n"))

    def repair(self) -> None:
        """Cut off torn last lines."""
        for file in (self.records_file, self.sessions_file):
            if file.exists():
                os.truncate(file, file.read_bytes().rfind(b"\n") + 1)

    def append(self, record: Record) -> None:
        append_line(self.records_file, asdict(record))

    def rewrite(self, records: Sequence[Record]) -> None:
        """All records anew, in one step."""
        replace(self.records_file, "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in records))


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, text: str) -> None:
    """Write a file by way of a temporary one beside it, so that it is never half there."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
