"""The configs of a sweep are those that hydra composes, with fewer of them composed."""

import pickle

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from kvarena.runners.job.sweep_configs import SweepConfigs
from omegaconf import OmegaConf


@pytest.fixture
def loaders():
    """Hydra's loader, ours, and the config that a sweep begins with."""
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("evaluate", ["hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
        yield loader, SweepConfigs(loader), master


def test_they_are_those_of_hydra(loaders):
    loader, ours, master = loaders
    combinations = [
        ["method=snapkv", "compression.ratio=2", "seed=1"],
        ["method=snapkv", "compression.ratio=4.5", "seed=1"],
        ["compression.ratio=8", "method=snapkv", "method.budget.recent=3", "seed=1"],
        ["method=full", "task=sorting", "compression.ratio=2"],
        ["method=full", "task=sorting"],
        ["+compression={more: 1}", "compression.ratio=2"],
        ["method=snapkv", "hydra.sweep.subdir=x", "compression.ratio=2"],
    ]
    for overrides in combinations:
        theirs, own = (each.load_sweep_config(master, list(overrides)) for each in (loader, ours))
        assert OmegaConf.to_container(own) == OmegaConf.to_container(theirs)
        assert OmegaConf.is_struct(own)
        assert own.hydra.job.override_dirname == ",".join(sorted(theirs.hydra.overrides.task))
    assert [len(choice) for choice in ours.composed] == [2, 2]


def test_each_is_a_config_of_its_own(loaders):
    _, ours, master = loaders
    first, second = (ours.load_sweep_config(master, ["seed=1", f"compression.ratio={ratio}"]) for ratio in (2, 3))
    first.levels.easy.num_nodes = 5
    assert (first.compression.ratio, second.compression.ratio, second.levels.easy.num_nodes) == (2, 3, 12)
    assert pickle.loads(pickle.dumps(ours)).load_sweep_config(master, ["seed=1", "compression.ratio=9"]).seed == 1


def test_a_key_that_is_not_there_is_refused_as_hydra_does(loaders):
    _, ours, master = loaders
    with pytest.raises(HydraException, match=r"^Could not override .compression\.colour.\."):
        ours.load_sweep_config(master, ["seed=1", "compression.colour=2"])
