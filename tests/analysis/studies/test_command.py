"""The studies as commands, in a process of their own."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("study", "given", "says"),
    [
        ("over_tasks", ["nowhere", "random", "order"], "RUNS_DIR=nowhere is not a folder"),
        ("by_task", ["nowhere"], "python -m kvarena.analysis.studies.by_task runs/forced snapkv by_task.csv"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(tmp_path, study, given, says):
    command = [sys.executable, "-m", f"kvarena.analysis.studies.{study}", *given]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
    assert says in ended.stderr
