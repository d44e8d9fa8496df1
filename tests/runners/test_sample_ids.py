"""What a sample is called never leads out of the folder of its run."""

import json
import sys

import pytest
from kvarena.runners.evaluate import main
from kvarena.runners.record import RunFolder

IDS = ["../../../X", "/tmp/X", "a/b", "..", "x\ny", "數" * 120]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run three folders deep of samples with such ids, traced, from the command line; all that lies around it."""
    place = tmp_path_factory.mktemp("place")
    rows = [
        {"id": each, "question": "path from 1 to 2 in 1 : 2 ; 2 : 1", "target": "1 2", "meta": META} for each in IDS
    ]
    (place / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = ["num_samples=null", "max_tokens=40", "compression.tokens=40", "engine.batch_size=2", "device=cpu"]
    overrides = [f"task.path={place}/mine.jsonl", f"output_dir={place}/one/two/run", f"engine.trace={len(IDS)}", *sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "argv", ["kvarena", "method=h2o", "difficulty=easy", *overrides])
        main()
    return place


META = {"start": 1, "goal": 2, "edges": [[1, 2]]}


def test_each_has_its_record(place):
    assert {record.sample for record in RunFolder(path=place / "one/two/run").records()} == set(IDS)


def test_nothing_is_written_outside_the_run(place):
    run = place / "one/two/run"
    written = {path for path in place.rglob("*") if path.is_file() and not path.is_relative_to(run)}
    assert written == {place / "mine.jsonl"}
    assert {path.parent for path in run.rglob("*.safetensors")} == {run / "trace"}
    assert len(list(run.rglob("*.safetensors"))) == len(IDS)
