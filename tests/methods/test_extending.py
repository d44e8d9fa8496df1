"""The method that docs/extending.md adds is run as it stands there."""

import re
import sys
from importlib import resources
from pathlib import Path
from types import ModuleType

import hydra
import pytest
import torch
from kvarena.methods import keydiff
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]


@pytest.fixture
def section():
    return (ROOT / "docs/extending.md").read_text().split("## Add a method")[1].split("\n## ")[0]


@pytest.fixture
def example(section, monkeypatch):
    """The page's code as a module in the place of methods/keydiff.py."""
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code.strip().splitlines()) < 20
    module = ModuleType("kvarena.methods.keydiff")
    module.__package__ = "kvarena.methods"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("kvarena.methods.keydiff", module)
    exec(compile(code, "docs/extending.md", "exec"), module.__dict__)
    return module


def test_the_example_decodes_under_the_config_that_ships(example, model):
    config = OmegaConf.load(str(resources.files("kvarena.conf") / "method/keydiff.yaml"))
    config.budget.update({"tokens": 24, "recent": 8, "interval": 8})
    policy = hydra.utils.instantiate(config)
    assert type(policy) is example.KeyDiff
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=40, longest_prompt=30, batch_size=1)
    (done,) = decoder.run([Request("a", 0, list(range(30)))])
    assert (done.usage.num_evictions, done.usage.peak_slots) == (5, 32)


def test_the_example_is_the_method_that_ships(example, view_of, kept, budget, rng):
    keys = torch.randn(3, 2, 20, 8, generator=rng)
    one, other = example.KeyDiff(budget=budget(9)), keydiff.KeyDiff(budget=budget(9))
    assert type(one) is not type(other)
    assert kept(one, view_of(one, keys)) == kept(other, view_of(other, keys))


def test_what_the_section_names_is_there(section):
    for name in re.findall(r"`((?:methods|conf|tests)/[\w/.]+)`", section):
        assert (ROOT / name).is_file()
    assert "methods/policy.py" in section
