"""Every command and every Python block of the README and docs/ runs, from the top of a page to its end.

A page has a folder for itself, with the repository's scripts and models, and in problems/ a file of two problems for
each task. What is typed is shortened: the settings of SHORT replace what a command says, a model of the hub is the
stand-in, a task of the hub reads its file. What cannot be run here is in ELSEWHERE, with what is done in its place and
why; `make`, `pytest`, `pip`, `source` and `.ci/run` say so in Shell. A command that this file does not know fails its
page.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import matplotlib.pyplot as plt
import pytest
import torch
import yaml
from kvarena.analysis import report
from kvarena.runners import benchmark, evaluate, grade
from kvarena.runners.forget import command as forget
from kvarena.runners.plugins import start
from kvarena.runners.readout import command as probe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = ("scripts", "models", "tests", "Makefile", ".ci")  # of the repository, in the folder of a page
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# kvarena: one row of four tokens; a sweep takes all its methods, and one value of every other key
SHORT = {"num_samples": "1", "num_draws": "1", "max_tokens": "4", "engine.batch_size": "1", "device": "cpu"}
SHORT["data_dir"] = "problems"
NUM_METHODS = 2  # of an experiment
NUM_JOBS = 2  # of scripts/reproduce.sh
TRACED = {"difficulty": "easy", "num_samples": "1", "max_tokens": "64"}  # long enough for a round that is traced
SHORT_BENCHMARK = {
    "shape": "tiny",
    "engine": "eager",
    "device": "cpu",
    "dtype": "float32",
    "batch_size": "2",
    "steps": "2",
    "gate": "0",
    "positions": "[200]",
    "compression.tokens": "128",
}
# scripts: arguments that are added, and the last of two counts
SHORT_SCRIPTS = {
    "speed/eviction.py": ["--turns=1", "--rounds=1", "--batch-size=2", "--tokens=64", "--methods=full,knorm"],
    "traces/compare_methods.py": ["--methods=snapkv,knorm"],
    "traces/compare_precision.py": ["--methods=snapkv,knorm"],
    "traces/compare_formats.py": [],
    "method_table.py": ["--page=methods.md"],
    "from_scratch.py": [],
    "standin_model.py": [],
    "speed/every_kernel.py": [],
}


class Instead(NamedTuple):
    adds: tuple[str, ...]  # to the command, or replaces there
    because: str


DRY, COMPOSED = ("dry_run=true",), ("--cfg", "hydra")  # builds all but the weights; builds the config
ELSEWHERE = {
    "engine=graphs": Instead(("engine=eager",), "it needs a GPU: tests/runners/graphs/test_decoder.py there"),
    "workers=ray": Instead(DRY, "eight workers: tests/runners/workers/test_ray_pool.py starts two"),
    "logger=wandb": Instead(DRY, "its service takes seconds: tests/runners/job/test_wandb_logger.py logs offline"),
    "hydra/launcher=submitit_slurm": Instead(COMPOSED, "it needs a cluster"),
    "hydra/launcher=submitit_local": Instead(COMPOSED, "a process a job: tests/runners/job/test_sweep.py starts them"),
    "hydra/launcher=ray": Instead(COMPOSED, "it needs a GPU"),
    "push_dashboard.py": Instead(("--help",), "it needs an account: tests/scripts/test_push_dashboard.py"),
}


def commands(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def changed(overrides: Sequence[str], changes: Mapping[str, str]) -> list[str]:
    """Overrides of the same keys replaced, others added."""
    kept = [override for override in overrides if override.partition("=")[0] not in changes]
    return [*kept, *(f"{key}={value}" for key, value in changes.items())]


def with_these(words: Sequence[str], adds: Sequence[str]) -> list[str]:
    overrides = dict(word.split("=", 1) for word in adds if "=" in word)
    return [*changed(words, overrides), *(word for word in adds if "=" not in word)]


def shortened(words: Sequence[str], standin: Path) -> list[str]:
    """The arguments of a kvarena command as they are run here."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    changes = dict(SHORT)
    if "experiment" in given:
        swept = experiment(given["experiment"])["hydra"]["sweeper"]["params"]
        changes |= {key: str(values).partition(",")[0] for key, values in swept.items()}
        changes["method"] = ",".join(swept["method"].split(",")[:NUM_METHODS])
    if "-m" in words:
        words = [word if word.startswith("method=") else word.partition(",")[0] for word in words]
    if "engine.trace" in given:
        changes |= TRACED
    if model_of(given) != "reasoner" and given.get("model.path", "DIR") == "DIR":
        changes["model.path"] = str(standin)
    if "--cfg" in (adds := instead(words)):  # of a sweep hydra shows none
        words = [word.partition(",")[0] for word in words if word != "-m"]
    return with_these(changed(words, changes), adds)


def instead(words: Sequence[str]) -> list[str]:
    return [word for name, other in ELSEWHERE.items() if name in words for word in other.adds]


def experiment(name: str) -> dict:
    return yaml.safe_load((ROOT / f"conf/experiment/{name}.yaml").read_text())


def model_of(given: Mapping[str, str]) -> str:
    """The model's config, by the command or its experiment."""
    chosen = {
        key: value
        for choice in experiment(given.get("experiment", "quickstart"))["defaults"]
        for key, value in choice.items()
    }
    return given.get("model", chosen["override /model"])


@contextmanager
def exiting() -> Iterator[None]:
    """A program may end by exiting, with status 0."""
    try:
        yield
    except SystemExit as stop:
        if stop.code:
            raise


class Shell:
    """Runs the words of a command in this process, where that is possible; other programs by their names."""

    def __init__(self, patch: pytest.MonkeyPatch, standin: Path) -> None:
        self.patch, self.standin = patch, standin

    def run(self, words: Sequence[str]) -> None:
        name, *arguments = words
        programs = {
            "kvarena": self.kvarena,
            "kvarena-benchmark": self.benchmark,
            "kvarena-fidelity": self.fidelity,
            "kvarena-forget": lambda arguments: self.composed(forget.main, arguments, "kvarena-forget"),
            "kvarena-probe": lambda arguments: self.composed(probe.main, arguments, "kvarena-probe"),
            "kvarena-report": lambda arguments: self.main(report.main, arguments),
            "kvarena-grade": lambda arguments: self.main(grade.main, arguments),
            "python": self.python,
            "python3": self.python,
            "make": self.make,
            "pytest": self.pytest,
            "pip": self.pip,
            "source": self.source,
            ".ci/run": self.ci,
            "scripts/reproduce.sh": self.reproduce,
        }
        if name not in programs:
            raise LookupError(f"no rule in {Path(__file__).name} says how to run {name}")
        programs[name](arguments)

    def kvarena(self, arguments: list[str]) -> None:
        words = arguments if arguments[0] in ("list", "--version") else shortened(arguments, self.standin)
        self.main(start.main, words, "kvarena")

    def fidelity(self, arguments: list[str]) -> None:
        decided = ("max_tokens", "difficulty")  # by the texts
        words = [word for word in shortened(arguments, self.standin) if word.partition("=")[0] not in decided]
        self.main(evaluate.main_fidelity, words, "kvarena-fidelity")

    def benchmark(self, arguments: list[str]) -> None:
        words = [word for word in arguments if not word.startswith("longest=")]  # of batch_size=null, which is 2 here
        self.main(benchmark.main, changed(words, SHORT_BENCHMARK), "kvarena-benchmark")

    def composed(self, entry, arguments: list[str], name: str) -> None:
        """It needs texts longer than these: tests/runners/forget and readout run it, its config is built here."""
        self.main(entry, [*arguments, *COMPOSED], name)

    def main(self, entry, arguments: Sequence[str], name: str = "") -> None:
        self.patch.setattr(sys, "argv", [name, *arguments])
        status = entry(arguments) if not name else entry()
        assert not status

    def python(self, arguments: list[str]) -> None:
        if arguments[0] == "-m":
            self.patch.setattr(sys, "argv", arguments[1:])
            with exiting():
                runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            self.script(*arguments)

    def script(self, path: str, *arguments: str) -> None:
        file, rest = path.removeprefix("scripts/"), list(arguments)
        assert Path(path).is_file()
        # one times a GPU, the other decodes with each family of transformers, as tests/scripts/families does with some
        if file == "families/table.py" or (file == "speed/every_kernel.py" and not torch.cuda.is_available()):
            compile(Path(path).read_text(), path, "exec")
            return
        rest += instead([file]) or SHORT_SCRIPTS[file]
        self.patch.syspath_prepend(str(Path(path).resolve().parent))
        self.patch.setattr(sys, "argv", [path, *rest])
        with exiting():
            runpy.run_path(path, run_name="__main__")

    def reproduce(self, arguments: list[str]) -> None:
        """The script runs with commands of ours that note what they are asked; then that is run."""
        notes = Path("bin/notes").absolute()
        notes.parent.mkdir(exist_ok=True)
        notes.write_text("")
        for name in ("kvarena", "kvarena-benchmark", "kvarena-grade", "kvarena-report", "python3"):
            program = notes.parent / name
            program.write_text(f'#!/bin/bash\nprintf "%s\\n" "$(printf "%q " {name} "$@")" >>{notes}\n')
            program.chmod(0o755)
        jobs = [f"jobs={NUM_JOBS}" for word in arguments if word.startswith("jobs=")]
        short = with_these(arguments, [*jobs, *instead(arguments)])
        path = f"{notes.parent}:{os.environ['PATH']}"
        subprocess.run(["scripts/reproduce.sh", *short], check=True, env=os.environ | {"PATH": path})
        for words in commands(notes.read_text()):
            self.run(words)

    def make(self, arguments: list[str]) -> None:
        """It installs, or runs these tests: it is asked what it would do, and what is a command of ours is run."""
        asked = ["make", "--dry-run", f"--directory={ROOT}", *arguments]
        plan = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        for command in re.findall(r"bin:\$PATH (scripts/reproduce.sh[^;]*);", plan):
            self.run(shlex.split(command))

    def pytest(self, arguments: list[str]) -> None:
        """These tests do not run themselves: the folders and marks exist."""
        marks = [word for flag, word in pairwise(arguments) if flag == "-m"]
        assert all(f'"{mark}: ' in (ROOT / "pyproject.toml").read_text() for mark in marks)
        assert all(Path(word).exists() for word in arguments if word not in ("-m", *marks))

    def pip(self, arguments: list[str]) -> None:
        """Nothing is installed: the extras exist."""
        verb, what = arguments
        extras = re.fullmatch(r"kvarena\[(.*)]", what)[1].split(",")
        assert verb == "install"
        assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras)

    def source(self, arguments: list[str]) -> None:
        """The environment of the tests is active already."""
        assert arguments == [".venv/bin/activate"]

    def ci(self, arguments: list[str]) -> None:
        """It runs these tests: only its grammar is checked."""
        assert not arguments
        assert os.access(".ci/run", os.X_OK)
        subprocess.run(["bash", "-n", ".ci/run"], check=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    problems = ROOT / "tests/problems"
    for path in (problems, *problems.glob("*.jsonl")):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "methods.md").write_text((ROOT / "docs/methods.md").read_text())
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.fixture
def module(monkeypatch):
    """Of kvarena.methods, for the page that adds one imports as a neighbour; all blocks of a page are in it."""
    module = ModuleType("kvarena.methods.example")
    module.__package__ = "kvarena.methods"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page, folder, module, standin, monkeypatch):
    shell = Shell(monkeypatch, standin)
    for language, block in BLOCK.findall(page.read_text()):
        if language == "python":
            exec(compile(block, page.name, "exec"), module.__dict__)
            continue
        if language == "text":  # commands on files that are not here
            continue
        assert language == "bash"
        for words in commands(block):
            try:
                shell.run(words)
            except (Exception, SystemExit) as error:
                pytest.fail(f"{page.name}: {shlex.join(words)}: {error!r}")


def test_what_cannot_be_run_is_named(monkeypatch, standin):
    shell = Shell(monkeypatch, standin)
    with pytest.raises(LookupError, match="says how to run kvarena-train"):
        shell.run(["kvarena-train", "model=reasoner"])
    with pytest.raises(AssertionError):
        shell.run(["pip", "install", "kvarena[tpu]"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kvarena task=sorting num_samples=64  # a run", "task=sorting"),
        ("kvarena -m model=qwen3_4b task=aime25", "-m model=qwen3_4b task=aime25 model.path=S"),
        ("kvarena task=local task.path=a.jsonl model.path=b", "task=local task.path=a.jsonl model.path=b"),
        ("kvarena -m method=h2o,full \\\n  hydra/launcher=ray", "method=h2o hydra/launcher=ray --cfg hydra"),
        ("kvarena engine=graphs max_tokens=9 task=sorting", "task=sorting engine=eager"),
    ],
)
def test_a_command_is_shortened(line, expected):
    ((_, *words),) = commands(line)
    short = shortened(words, Path("S"))
    assert {"num_samples=1", "num_draws=1", "max_tokens=4", "engine.batch_size=1", "device=cpu"} <= set(short)
    assert [word for word in short if word.partition("=")[0] not in SHORT] == expected.split()
