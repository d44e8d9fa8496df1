"""What a user of scripts/ can get wrong is one line and status 2, before anything is measured."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
TINY = ("shape=tiny", "engine=eager", "device=cpu", "dtype=float32", "batch_size=2")
RANK = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
NO_NUMBER = "'-1' is no whole number of at least 1"
WRONG = [
    ("speed/growing.py", ["--rows", "-1"], f"argument --rows: {NO_NUMBER}"),
    ("speed/growing.py", ["--device", "nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("speed/growing.py", ["--draw", "nowhere"], "No such file or directory: 'nowhere'"),
    ("speed/growing.py", ["--draw", "notes.txt"], "notes.txt has no attend_ms, cat_ms, in_place_ms, slots"),
    ("speed/eviction.py", ["--methods", "nope"], "Could not find 'method/nope'"),
    ("speed/eviction.py", ["--turns", "-1"], f"argument --turns: {NO_NUMBER}"),
    ("speed/eviction.py", ["--output", "notes.txt/a.csv"], "the folder of --output=notes.txt is a file, or below one"),
    ("speed/two_cards.py", ["out"], "this process has no rank: start it by torchrun --nproc-per-node=2"),
    ("speed/refill.py", [*TINY, "batch_size=-1"], "batch_size=-1: use 1 or more"),
    ("speed/refill.py", [*TINY, "lengths.cap=0"], "lengths.cap=0: use 1 or more"),
    ("speed/refill.py", [*TINY, "engine.batch_size=3"], "engine.batch_size=3: of a benchmark it is batch_size=3"),
    ("speed/refill.py", [*TINY, "device=nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("speed/whole_run.py", [*TINY, "mix.samples=0"], "mix.samples=0: use 1 or more"),
    ("traces/compare_methods.py", ["nowhere"], "nowhere holds no trace"),
    ("traces/compare_precision.py", [], "the following arguments are required: run"),
    ("traces/compare_formats.py", ["nowhere"], "nowhere holds no trace"),
    ("real/certificate.py", ["nowhere", "nowhere", "out"], "reference=nowhere: no run.json there"),
    ("real/certificate.py", ["m", "t", "out", "--ratios", "0.5"], "argument --ratios: '0.5' has a ratio below 1"),
    ("real/mechanism.py", ["nowhere", "nowhere", "out", "--cut", "-1"], f"argument --cut: {NO_NUMBER}"),
    ("real/make_chains.py", ["nowhere"], "nowhere was not imported"),
    ("reasoner/values.py", ["--device", "nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("reasoner/train.py", ["device=nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("reasoner/train_eraser.py", ["device=nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("reasoner/train_guard.py", ["device=nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
    ("coverage.py", ["--studies", "-1"], f"argument --studies: {NO_NUMBER}"),
    ("coverage.py", ["--output", "notes.txt/a.csv"], "the folder of --output=notes.txt is a file, or below one"),
    ("from_scratch.py", [], "models/reasoner is not here: start it at the root of a checkout"),
    ("method_table.py", ["--page", "nowhere"], "No such file or directory: 'nowhere'"),
    ("families/table.py", ["--page", "nowhere"], "No such file or directory: 'nowhere'"),
    ("standin_model.py", ["notes.txt"], "FOLDER=notes.txt is a file, or below one: give a folder"),
    ("push_dashboard.py", ["me"], "the following arguments are required: project"),
]


@pytest.fixture
def start(tmp_path, monkeypatch, capfd):
    """start(script, words): exit status, and what stands on stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("hello\n")

    def run(script: str, words: list[str]) -> tuple[int, str]:
        path = SCRIPTS / script
        monkeypatch.syspath_prepend(str(path.parent))
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(path), run_name="__main__")
        return stopped.value.code, capfd.readouterr().err

    return run


def refused(start, script: str, words: list[str], says: str) -> None:
    status, error = start(script, words)
    name = "kvarena" if any("=" in word for word in words) else Path(script).name
    assert (status, error.count("\n")) == (2, 1), error
    assert error.startswith(f"{name}: ")
    assert says in error
    assert sorted(path.name for path in Path().iterdir()) == ["notes.txt"]
    assert Path("notes.txt").read_text() == "hello\n"


@pytest.mark.parametrize(("script", "words", "says"), WRONG)
def test_what_the_user_got_wrong_is_one_line(start, script, words, says):
    refused(start, script, words, says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["out", "--shapes", "nope"], "Could not find 'shape/nope'"),
        (["out", "--shapes", "tiny", "--device", "nope"], "device=nope: use auto, cpu, cuda or cuda:N"),
        (["out", "--shapes", "tiny", "--steps", "-1"], f"argument --steps: {NO_NUMBER}"),
    ],
)
def test_ranks_say_what_is_wrong_before_they_meet(start, monkeypatch, words, says):
    for name, value in RANK.items():
        monkeypatch.setenv(name, value)
    refused(start, "speed/two_cards.py", words, says)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("speed/every_kernel.py", []),
        ("speed/growing.py", ["--device", "cuda"]),
        ("speed/refill.py", ["shape=tiny"]),
        ("reasoner/values.py", ["--device", "cuda:1"]),
    ],
)
def test_without_a_gpu_that_is_one_line(start, script, words):
    refused(start, script, words, "torch sees 0 CUDA devices")
