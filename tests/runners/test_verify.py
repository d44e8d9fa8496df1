"""kvarena-report --verify on runs that were changed behind its back."""

import json
from dataclasses import replace

import pytest
from kvarena.analysis.report import main
from kvarena.runners.record import RunFolder

SAMPLE = {"id": "mine", "question": "path from 1 to 2 in 2 : 1 : 2 ; 2 : 1", "target": "1 2"}


@pytest.fixture(scope="module")
def finished(launch, tmp_path_factory):
    """A run over samples of a file, and the file."""
    root = tmp_path_factory.mktemp("verify")
    meta = {"start": 1, "goal": 2, "edges": [[1, 2]]}
    (root / "mine.jsonl").write_text(json.dumps(SAMPLE | {"meta": meta}))
    command = ["difficulty=easy", "method=full", "num_samples=null", f"task.path={root}/mine.jsonl", "max_tokens=4"]
    assert launch(root, *command, "device=cpu", "engine.batch_size=1", "output_dir=runs/one").wait() == 0
    return root


@pytest.fixture
def verify(finished, capsys):
    """verify(): status and lines; the run is put back afterwards."""
    before = {path: path.read_bytes() for path in finished.rglob("*.json*")}

    def run() -> tuple[int, list[str]]:
        status = main([str(finished / "runs"), "--verify"])
        return status, [line.removeprefix(f"{finished}/runs/one: ") for line in capsys.readouterr().out.splitlines()]

    yield run
    for path, data in before.items():
        path.write_bytes(data)


def edit(path, change) -> None:
    run = json.loads(path.read_text())
    change(run)
    path.write_text(json.dumps(run))


def test_an_untouched_run_is_as_recorded(verify, finished):
    assert verify() == (0, ["as recorded", "1 runs, 1 as recorded, 0 not"])
    assert not (finished / "runs/report").exists()


def test_a_changed_config(verify, finished):
    edit(finished / "runs/one/run.json", lambda run: run["config"].update(seed=5))
    status, lines = verify()
    assert status == 1
    assert lines == ["identity: config or labels were changed after the run began", "1 runs, 0 as recorded, 1 not"]


def test_where_it_was_written_and_by_how_many_workers_does_not_matter(verify, finished):
    changed = {"output_dir": "/far/away", "runs_dir": "x", "num_workers": 9, "workers": {"_target_": "elsewhere"}}
    edit(finished / "runs/one/run.json", lambda run: run["config"].update(changed))
    assert verify()[0] == 0


def test_changed_samples(verify, finished):
    edit(finished / "mine.jsonl", lambda sample: sample.update(target="2 1"))
    status, (data, record, _) = verify()
    assert status == 1
    assert data.startswith("data_sha256: ")
    assert record == "record mine, draw 0: target changed"


def test_another_template(verify, finished):
    edit(finished / "runs/one/run.json", lambda run: run["config"]["task"].update(template="{question} ;"))
    status, lines = verify()
    assert status == 1
    assert [line.split(":")[0] for line in lines[:4]] == [
        "identity",
        "template_sha256",
        "prompts_sha256",
        "record mine, draw 0",
    ]


def test_a_changed_text_and_a_foreign_record(verify, finished):
    folder = RunFolder(path=finished / "runs/one")
    (record,) = folder.records()
    folder.rewrite([replace(record, completion="1 2", num_tokens=9), replace(record, sample="yours")])
    status, lines = verify()
    assert status == 1
    assert lines[:2] == ["record mine, draw 0: num_tokens, completion changed", "record yours, draw 0: not of this run"]


def test_what_cannot_be_checked_is_said(verify, finished):
    (finished / "mine.jsonl").rename(finished / "moved.jsonl")
    status, lines = verify()
    (finished / "moved.jsonl").rename(finished / "mine.jsonl")
    assert status == 1
    assert lines[0] == f"cannot be checked: task.path={finished}/mine.jsonl: no such file"


def test_no_run_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path), "--verify"]) == 2
    assert capsys.readouterr().err.startswith(f"kvarena-report: RUNS_DIR={tmp_path}: no run.json below it")
