"""VaSE's main table with the stand-in model: six tasks from local files, killed, gone on with, graded, reported."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
TASKS = ("aime25", "aime26", "gpqa_diamond", "hmmt25", "livecodebench", "math500")
METHODS = "full,snapkv,rkv_vase,curdkv_vase,vase_dkv,vase_attnv,quest,random,random_prompt,streaming,oracle"
DRAWS = {"aime25": 16, "aime26": 16, "hmmt25": 16, "gpqa_diamond": 8, "livecodebench": 8, "math500": 8}
# a budget that the sequences outgrow
SHORT = ["num_draws=1", "max_tokens=24", "compression.tokens=56", "compression.recent=8"]
SHORT += ["compression.interval=8", "engine.batch_size=2"]


@pytest.fixture
def table(tmp_path, standin):
    """table(*overrides): scripts/reproduce.sh table_main_4b, as a process in an empty folder."""
    same = [f"data_dir={ROOT}/tests/problems", f"model.path={standin}", "num_samples=2", "max_tokens=64"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(*overrides: str) -> subprocess.Popen:
        command = [f"{ROOT}/scripts/reproduce.sh", "table_main_4b", *same, "device=cpu", *overrides]
        pipe = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, **pipe)

    return run


def kill(process: subprocess.Popen, folder: Path, runs: int) -> None:
    """Kill it, with all that it started, once so many runs have records."""
    deadline = time.monotonic() + 120
    while len(list(folder.rglob("records.jsonl"))) < runs:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def outcomes(folder: Path) -> dict[tuple, list[int]]:
    """The tokens of each completion."""
    found = {}
    for file in folder.rglob("records.jsonl"):
        labels = json.loads((file.parent / "run.json").read_text())["labels"]
        for record in map(json.loads, file.read_text().splitlines()):
            found[labels["task"], labels["method"], record["sample"], record["draw"]] = record["token_ids"]
    return found


def check_report(folder: Path, names: Sequence[str]) -> pd.DataFrame:
    """results.csv, after a look at what stands beside it: every cell of the table is filled."""
    results = pd.read_csv(folder / "report/results.csv")
    assert sorted(zip(results["task"], results["method"], strict=True)) == sorted(product(TASKS, names))
    assert (results["accuracy"] == 0).all()
    assert results["complete"].all()
    assert (results["ungraded"] == 0).all()
    lines = (folder / "report/table.md").read_text().split("## aime25")[0].splitlines()
    cells = {line.split(" | ")[0][2:]: line.split(" | ")[1:7] for line in lines if line.startswith("| ")}
    assert cells.pop("method") == sorted(TASKS)
    assert cells.pop(":--") == ["--:"] * 6
    assert cells == {name: ["0.0"] * 6 for name in names}
    return results


@pytest.mark.parametrize(
    ("overrides", "methods", "draws"),
    [
        pytest.param(SHORT, "full,vase_dkv", dict.fromkeys(TASKS, 1), id="short"),
        pytest.param([], METHODS, DRAWS, id="whole", marks=pytest.mark.slow),
    ],
)
def test_the_table_is_filled(table, tmp_path, overrides, methods, draws):
    folder, names = tmp_path / "runs/table_main_4b", methods.split(",")
    kill(table(*overrides, f"method={methods}"), folder, runs=4)
    num_rows = 2 * sum(draws.values()) * len(names)
    assert 0 < len(outcomes(folder)) < num_rows
    again = table(*overrides, f"method={methods}")
    said, _ = again.communicate()
    assert again.returncode == 0
    assert " skipped" in said[said.index("sweep of ") :]
    found = outcomes(folder)
    assert len(found) == num_rows
    results = check_report(folder, names)
    dense = {key: tokens for key, tokens in found.items() if key[1] == "full"}
    same = [tokens == dense[task, "full", *rest] for (task, _, *rest), tokens in found.items()]
    if overrides:  # rounds came, and changed what was said
        assert (results.query("method == 'vase_dkv'")["evictions"] > 0).all()
        assert not all(same)
    else:  # a budget that nothing outgrows: dense, token for token
        assert all(same)
        published = pd.read_csv(folder / "report/published.csv")
        assert len(published.query("task == 'aime25' and method == 'vase_dkv' and published == 57.29")) == 1
