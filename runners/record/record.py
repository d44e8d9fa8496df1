"""What a run leaves behind: run.json at the start, records.jsonl a line for each completion.

What is appended is on the disk before anything else is; a line that a crash tore is cut off when the run goes on.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, FiniteFloat, TypeAdapter, with_config
from typing_extensions import TypedDict

from .checked import check, check_line, read_object, refuse_folder
from .files import append_line, replace_file
from .lock import NAME as LOCK


@with_config(ConfigDict(strict=True, extra="forbid"))
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
    # index in token_ids of the first token written after each eviction; null in the records of older runs
    eviction_steps: list[int] | None = None
    peak_slots: FiniteFloat  # slots per KV head, mean over layers
    mean_slots: FiniteFloat  # the same, mean over decode steps
    tokens_read: FiniteFloat  # slots attended to, mean over decode steps, layers and KV heads
    resident_bytes: int  # of the row's cache at its peak, what the method asks for included
    # before each token: how far attention is off because slots were drawn, as estimated; root of the mean square, a
    # part of its output, mean over layers; null where no method estimates it
    attention_error: list[float] | None = None
    loop_onset: int | None  # index in token_ids where the closing repetition begins; null: no loop
    loop_period: int | None  # tokens
    prefill_s: FiniteFloat
    decode_s: FiniteFloat
    second_opinion: float | None = None  # 1 if answer and target are equal as text; null: no such opinion
    # how repetitive it is (runners/loops.py); null in the records of older runs
    loop_character: int | None = None  # index in completion where the closing repetition begins
    loop_strict: bool | None = None
    seq_rep_4: float | None = None
    distinct_4: float | None = None
    zlib_ratio: float | None = None
    repeated_lines: float | None = None
    vase_class: str | None = None
    # equal to score where the thought has ended; else what the last answer anywhere, as VaSE grades, is worth; null in
    # older records
    score_unfinished: float | None = None
    prompt_sha: str | None = None  # of the prompt's tokens and the target, 12 hex digits; null in older records
    # of a text that was forced, by token (runners/fidelity/drift.py); null in a completion of the model's own
    kl: list[FiniteFloat] | None = None  # KL(dense || method), nats
    nll: list[FiniteFloat] | None = None  # -log probability of the token: the method's less dense's, nats
    mass: list[FiniteFloat] | None = None  # probability that the method gives to dense's most probable token
    other: list[int] | None = None  # indices at which the two have not the same most probable token
    pieces: list[str] | None = None  # the token itself

    @property
    def key(self) -> tuple[str, int]:
        return self.sample, self.draw


class Session(TypedDict):
    """One process that worked on a run; it says more of itself, which is kept."""

    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]

    started: str
    wall_s: FiniteFloat
    tokens: int
    records: int
    steps: int
    num_workers: NotRequired[int]  # older ones lack it: one


class RunFile(TypedDict, total=False):
    """What commands go by of run.json, where it is there; it says more, which is kept."""

    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]

    labels: dict[str, Any]
    config: dict[str, Any]
    num_samples: int
    num_draws: int
    fingerprints: dict[str, dict[str, Any] | None]
    halvings: list[dict[str, Any]]
    accepted_changes: list[dict[str, Any]]


RECORD, SESSION, HEADER = TypeAdapter(Record), TypeAdapter(Session), TypeAdapter(RunFile)
ADVICE = "move the run away"


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
    def verdicts_file(self) -> Path:
        """A line for each verdict that kvarena-grade changed, before and after."""
        return self.path / "verdicts.jsonl"

    @property
    def sessions_file(self) -> Path:
        return self.path / "sessions.jsonl"

    def run(self) -> dict[str, Any]:
        return dict(check(read_object(self.run_file, "run", ADVICE), HEADER, self.run_file, ADVICE))

    def refuse_strangers(self) -> None:
        """Refuse a folder that holds something else than a run."""
        # what a run leaves that was killed before it had written run.json
        early = {LOCK, f"{self.run_file.name}.tmp"}
        if self.run_file.exists() or not self.path.exists():
            return
        if not self.path.is_dir():
            raise ValueError(f"output_dir={self.path} is a file: give a folder")
        if any(path.name not in early for path in self.path.iterdir()):
            raise ValueError(f"output_dir={self.path} is not empty and holds no run.json: choose another folder")

    def begin(self, run: Mapping[str, Any]) -> None:
        """Write run.json, unless the run was begun before."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.run_file.exists():
            self._write(run)

    def note(self, **facts: Any) -> None:
        """Add to run.json what became known later."""
        self._write(self.run() | facts)

    def _write(self, run: Mapping[str, Any]) -> None:
        replace_file(self.run_file, json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def records(self) -> list[Record]:
        """All finished records; a torn last line is left out."""
        return self.once_each(self.stream())

    def once_each(self, records: Iterable[Record]) -> list[Record]:
        """Records of this folder; two of one sample and draw are refused."""
        found = list(records)
        if len({record.key for record in found}) < len(found):
            raise ValueError(f"{self.records_file} has two records of one sample and draw: delete the later one")
        return found

    def stream(self) -> Iterator[Record]:
        """The same, one at a time, for they hold every token; whether two are of one draw is not known then."""
        refuse_folder(self.records_file, ADVICE)
        if self.records_file.exists():
            with self.records_file.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield check_line(line, RECORD, self.records_file, "record", ADVICE)

    def sessions(self) -> list[Session]:
        """One for each process that worked on the run; a torn last line is left out."""
        refuse_folder(self.sessions_file, ADVICE)
        if not self.sessions_file.exists():
            return []
        lines = self.sessions_file.read_bytes().split(b"\n")[:-1]
        return [check_line(line, SESSION, self.sessions_file, "session", "delete the line") for line in lines]

    def repair(self) -> None:
        """Cut off torn last lines."""
        for file in (self.records_file, self.sessions_file):
            if file.exists():
                os.truncate(file, file.read_bytes().rfind(b"\n") + 1)

    def append(self, *records: Record) -> None:
        append_line(self.records_file, *[asdict(record) for record in records])

    def rewrite(self, records: Sequence[Record]) -> None:
        """All records anew, in one step."""
        replace_file(self.records_file, "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in records))
