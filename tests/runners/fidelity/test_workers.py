"""Forced texts in several processes, and in one that is killed: in the end the records of one that nothing befell."""

import json
import signal

import pytest
from kvarena.runners.record import RunFolder

NUM_TEXTS = 6
COMMAND = ["texts=mine.jsonl", "method=snapkv", "compression.tokens=40", "compression.recent=8", "engine.batch_size=2"]
COMMAND += ["compression.interval=8", "device=cpu"]


def outcome(folder) -> dict:
    """All that a record says, but for the times."""
    timed = {"prefill_s": 0, "decode_s": 0}
    return {record.key: vars(record) | timed for record in RunFolder(path=folder).records()}


@pytest.fixture(scope="module")
def texts() -> str:
    """Of unlike lengths, so that they end one after another."""
    lines = [
        {
            "id": str(n),
            "prompt_ids": list(range(3, 40 + n)),
            "completion_ids": [(7 * i + n) % 90 + 5 for i in range(9 + 5 * n)],
        }
        for n in range(NUM_TEXTS)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def whole(launch, tmp_path_factory, texts):
    """The outcome of a run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "mine.jsonl").write_text(texts)
    assert launch(folder, *COMMAND, "output_dir=run").wait() == 0
    found = outcome(folder / "run")
    assert len(found) == NUM_TEXTS
    assert sum(max(record["kl"]) > 1e-3 for record in found.values()) >= 3  # there is something to differ
    return found


@pytest.fixture
def here(tmp_path, texts):
    (tmp_path / "mine.jsonl").write_text(texts)
    return tmp_path


@pytest.mark.slow
def test_over_ray_the_records_are_those_of_one_process(start, here, whole):
    run = start(*COMMAND, "workers=ray", "num_workers=2", "output_dir=run")
    assert run.wait() == 0, run.text
    assert outcome(here / "run") == whole
    (session,) = RunFolder(path=here / "run").sessions()
    assert (session["num_workers"], session["records"]) == (2, NUM_TEXTS)


def test_killed_it_goes_on_to_the_same_records(start, until, here, whole):
    file = here / "run/records.jsonl"
    run = start(*COMMAND, "output_dir=run")
    until(lambda: file.exists() and file.read_bytes().count(b"\n") >= 2)
    assert run.kill() == -signal.SIGKILL
    assert 2 <= len(outcome(here / "run")) < NUM_TEXTS
    again = start(*COMMAND, "output_dir=run")
    assert again.wait() == 0
    assert f"of {NUM_TEXTS} done" in again.text
    assert outcome(here / "run") == whole
