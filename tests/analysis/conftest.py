from pathlib import Path

import pytest
from kvarena.runners.record import Record, RunFolder, append_line

LABELS = {
    "task": "graph_search",
    "difficulty": "hard",
    "model": "reasoner",
    "method": "snapkv",
    "ratio": 4.0,
    "tokens": 128,
    "evicts": True,
    "selects": False,
    "protects_prompt": False,
}
DENSE = {"method": "full", "ratio": 1.0, "tokens": None, "evicts": False}
RECORD = {
    "sample": "s0",
    "draw": 0,
    "token_ids": [1, 2, 3],
    "completion": "abc",
    "answer": "a",
    "target": "a",
    "score": 1.0,
    "note": "",
    "stop": "eos",
    "prompt_tokens": 10,
    "num_tokens": 100,
    "num_evictions": 2,
    "peak_slots": 140.0,
    "mean_slots": 100.0,
    "tokens_read": 90.0,
    "resident_bytes": 1000,
    "loop_onset": None,
    "loop_period": None,
    "prefill_s": 0.1,
    "decode_s": 1.0,
}


def make_record(**changed) -> Record:
    return Record(**(RECORD | changed))


class Writer:
    """Writes runs below RUNS_DIR as the evaluation does."""

    def __init__(self, root: Path):
        self.root = root

    def __call__(self, name, records, *, samples, draws=1, sessions=(), config=None, **labels) -> RunFolder:
        folder = RunFolder(path=self.root / name)
        header = {"identity": name, "labels": LABELS | labels, "num_samples": samples, "num_draws": draws}
        folder.begin(header | ({"config": config} if config else {}))
        folder.rewrite(records)
        for wall_s, tokens in sessions:
            session = {"started": "2026-01-01T00:00:00", "wall_s": wall_s, "tokens": tokens, "records": 1, "steps": 1}
            append_line(folder.sessions_file, session)
        return folder


@pytest.fixture(scope="session")
def record():
    return make_record


@pytest.fixture(scope="session")
def writer():
    """writer(root): writes runs below another folder than tmp_path."""
    return Writer


@pytest.fixture
def write(tmp_path):
    return Writer(tmp_path)


@pytest.fixture(scope="session")
def config():
    """config(tokens): what run.json says of a run, as far as the analysis reads it."""

    def build(tokens=None, *, interval=64, ratio=4.0, batch_size=16):
        method = {"budget": {"tokens": tokens, "interval": interval, "prefill": False}} if tokens else {}
        return {"method": method, "compression": {"ratio": ratio}, "engine": {"batch_size": batch_size}}

    return build


@pytest.fixture(scope="session")
def dense():
    return DENSE
