"""The cache from scratch says what generate says, and its page quotes what it prints."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow  # its page runs it too, and it asserts the same
def test_it_says_what_generate_says():
    command = [sys.executable, "scripts/from_scratch.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs/from_scratch.md").read_text()
    assert done.stdout in page
