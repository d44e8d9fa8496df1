"""scripts/reproduce.sh as a process. table_main_4b, with a stand-in for the model, is tests/test_rehearsal.py."""

import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from kvarena.runners import benchmark

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "conf/experiment").glob("*.yaml") if path.stem != "pilot_embedded_ratios")
SMALL = ["device=cpu", "num_samples=2", "max_tokens=8", "engine.batch_size=2", "method=full,snapkv"]


@pytest.fixture
def reproduce(tmp_path):
    """reproduce(*arguments): exit status, output and errors of the script, in an empty folder.

    A command that a test puts there is in place of ours.
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [str(ROOT / "scripts/reproduce.sh"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("name", ["table_main_5b", "", "pilot_embedded_ratios", "pilot", "-x"])
def test_an_unknown_name_is_answered_with_those_there_are(reproduce, name):
    assert reproduce(name) == (2, "", f"reproduce.sh: NAME={name}: use one of {' '.join(NAMES)}\n")


def test_jobs_have_to_be_a_number(reproduce):
    assert reproduce("quickstart", "jobs=0") == (2, "", "reproduce.sh: jobs=0: use 1 or more\n")


@pytest.mark.parametrize("key", ["dry_run", "report"])
def test_what_is_true_or_false_is_nothing_else(reproduce, key):
    assert reproduce("quickstart", f"{key}=1") == (2, "", f"reproduce.sh: {key}=1: use true or false\n")


def test_two_processes_run_grade_report_and_pack(reproduce, tmp_path):
    """Also where a combination fails, which is not forgotten."""
    status, out, _ = reproduce("quickstart", "jobs=2", *SMALL, "compression.ratio=2,100")
    assert status == 1
    assert out.count("sweep of 2: ") == 2
    assert out.count("  failed  ") == 1
    results = pd.read_csv(tmp_path / "runs/quickstart/report/results.csv")
    assert results[["method", "samples", "complete"]].values.tolist() == [["full", 2, True], ["snapkv", 2, True]]
    with tarfile.open(tmp_path / "runs/quickstart/report/runs.tar.xz") as archive:
        assert sum(name.endswith("/records.jsonl") for name in archive.getnames()) == 2


@pytest.mark.slow
def test_what_a_dense_run_said_is_forced(reproduce, tmp_path, standin):
    same = [f"model.path={standin}", "device=cpu", "num_samples=2", "engine.batch_size=2", "compression.ratio=8"]
    free = ["method=full", "max_tokens=24", f"data_dir={ROOT}/tests/problems"]
    assert reproduce("real_gsm8k", *same, *free)[0] == 0
    (dense,) = (file.parent for file in tmp_path.rglob("run.json"))
    assert reproduce("real_fidelity", f"reference={dense}", *same, "method=full,vase_dkv")[0] == 0
    drift = pd.read_csv(tmp_path / "runs/real_fidelity/report/fidelity.csv")
    assert drift[["method", "texts"]].values.tolist() == [["full", 2], ["vase_dkv", 2]]


def test_throughput_is_a_sweep_and_a_whole_decode(reproduce, tmp_path, monkeypatch, capsys):
    """And a plan of it needs no GPU. What the script asks of kvarena-benchmark is noted, and run here."""
    noting = tmp_path / "kvarena-benchmark"
    noting.write_text('#!/bin/bash\nprintf "%s\\n" "${*@Q}"\n')
    noting.chmod(0o755)
    changed = ["method=full,quest", "compression.tokens=2048", "steps=8"]
    status, out, _ = reproduce("throughput_14b", "dry_run=true", *changed)
    assert status == 0
    monkeypatch.chdir(tmp_path)
    for asked in out.splitlines():
        monkeypatch.setattr(sys, "argv", ["kvarena-benchmark", *shlex.split(asked)])
        benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", about")[0] for line in lines] == [
        "full: 0 of 4 timed",
        "quest, 2048 tokens: 0 of 4 timed",
        "vase_attnv, 4096 tokens: 0 of 1 timed",
    ]
    assert "about 262,144 tokens" in lines[2]
