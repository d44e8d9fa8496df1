import os
from importlib.resources import files
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from kvarena.tasks.sandbox import NoSandbox, Sandbox, probe
from omegaconf import OmegaConf

LEVELS = ("easy", "medium", "hard")
NAMES = ("addition", "assignments", "coloring", "deduction", "graph_search", "sorting")


def load(name, level):
    """The task of a yaml at a level."""
    cfg = OmegaConf.load(str(files("kvarena.conf") / f"task/{name}.yaml"))
    cfg.difficulty = level
    return instantiate(cfg.task)


@pytest.fixture
def load_task():
    return load


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(params=NAMES)
def task(request, level):
    """Each generated task at each level."""
    return load(request.param, level)


@pytest.fixture(scope="session")
def data():
    """data(name): path of a copy of a real data set; they are not ours to ship."""
    folder = Path(os.environ.get("KVARENA_DATA", Path(__file__).parents[3] / "shared/data"))

    def path(name: str) -> str:
        file = folder / f"{name}.jsonl"
        if not file.is_file():
            pytest.skip(f"{file.name} is not in {folder}: set KVARENA_DATA to the folder that has it")
        return str(file)

    return path


@pytest.fixture(scope="session")
def compose_task():
    """compose_task(name, *overrides): the config of a run on a task, and the task."""

    def build(name: str, *overrides: str):
        with initialize_config_module("kvarena.conf", version_base="1.3"):
            config = compose("evaluate", overrides=[f"task={name}", *overrides])
        return config, instantiate(config.task)

    return build


@pytest.fixture(scope="session")
def sandbox():
    """Short limits, so that hostile programs are done with soon; skips where bubblewrap cannot run."""
    box = Sandbox(cpu_s=1, wall_s=3, memory_mb=512 + os.getpid() % 256, processes=8, file_mb=1)
    try:
        probe(box)
    except NoSandbox as reason:
        pytest.skip(str(reason))
    return box
