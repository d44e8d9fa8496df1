from importlib.resources import files

import pytest
from hydra.utils import instantiate
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
