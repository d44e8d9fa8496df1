from importlib.resources import files

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

LEVELS = ("easy", "medium", "hard")


@pytest.fixture
def graph_search():
    """The task of graph_search.yaml at a level."""

    def build(level):
        cfg = OmegaConf.load(str(files("kvarena.conf") / "task/graph_search.yaml"))
        cfg.difficulty = level
        return instantiate(cfg.task)

    return build


@pytest.fixture(params=LEVELS)
def task(request, graph_search):
    return graph_search(request.param)
