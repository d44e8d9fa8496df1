"""Every experiment composes, and names methods and tasks that exist."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

CONF = Path(__file__).parents[1] / "conf"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_an_experiment_composes_and_sweeps_over_what_exists(name):
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        config = compose("evaluate", overrides=[f"experiment={name}"], return_hydra_config=True)
    params = config.hydra.sweeper.params
    for group in ("method", "task"):
        for choice in filter(None, params.get(group, "").split(",")):
            assert (CONF / group / f"{choice}.yaml").is_file()
    assert {"full", "vase_dkv", "evict_large"} <= set(params["method"].split(","))
    assert config.difficulty in config.levels
