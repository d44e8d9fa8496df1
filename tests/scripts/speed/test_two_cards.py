"""Steps of one process and of two on CPUs: lines, and what does not fit; the times are real."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/speed/two_cards.py"
SMALL = ["--device", "cpu", "--shapes", "tiny", "--method", "streaming", "--rows", "2", "--steps", "4"]


def two(folder: Path, *words: str) -> list[str]:
    """What both processes say."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    meeting = os.environ | dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    command, piped = [sys.executable, str(SCRIPT), str(folder), *SMALL, *words], dict(stdout=-1, stderr=-2, text=True)
    both = [subprocess.Popen(command, env=meeting | {"RANK": str(rank)}, **piped) for rank in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return said


@pytest.mark.slow
def test_a_step_of_each_number_of_ranks(tmp_path):
    first, second = two(tmp_path, "--tokens", "96", "--position", "96")
    with (tmp_path / "steps.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["ranks"] for line in lines] == ["1", "2"]
    assert int(lines[1]["cache_bytes"]) * 2 == int(lines[0]["cache_bytes"])
    assert "left out" not in first
    assert second == ""


def test_what_does_not_fit_is_left_out_and_the_rest_goes_on(tmp_path):
    """On one rank and on two: both go on to the next line, and to the end."""
    first, second = two(tmp_path, "--tokens", str(10**11), "--position", str(10**11))
    left = [line for line in first.splitlines() if "left out" in line]
    assert [line.split(":")[0] for line in left] == ["tiny of 1 ranks left out", "tiny of 2 ranks left out"]
    assert "DefaultCPUAllocator" in left[0]
    assert not (tmp_path / "steps.csv").exists()
    assert "left out" not in second
