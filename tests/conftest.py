"""Models small enough to run in milliseconds, a folder that stands in for Qwen3, and noise."""

import atexit
import gc
import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import hypothesis  # noqa: F401 - it asks who refers to what, and of what is frozen nobody does
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, which transformers does

from kvarena.contract.tiny_model import build_tiny_model
from kvarena.kernels.noise import Noise

torch.set_num_threads(1)  # of tensors this small a second thread makes nothing faster
gc.freeze()  # what is imported by now stays: no collection, of which every run of kvarena asks one, looks through it
atexit.register(gc.unfreeze)  # extensions look at their end for what was never collected

# files whose tests take longest: they begin first, so that no process is left alone with one of them at the end
LONG = (
    "test_rehearsal",
    "test_commands",
    "test_ray_pool",
    "test_compile",
    "test_reproduce",
    "test_wheel",
    "test_sandbox",
)


def loaded(file: Path) -> ModuleType:
    spec = spec_from_file_location(file.stem, file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    loaded(Path(__file__).with_name("composing.py")).quicken(patch)
    if not torch.cuda.is_available():
        loaded(Path(__file__).with_name("interpreter.py")).quicken(patch)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def tiny_model() -> Callable:
    """tiny_model(family)"""
    return build_tiny_model


@pytest.fixture(scope="session")
def model(tiny_model):
    return tiny_model()


@pytest.fixture(scope="session")
def standin(tmp_path_factory) -> Path:
    """What scripts/standin_model.py writes."""
    folder = tmp_path_factory.mktemp("standin")
    loaded(Path(__file__).parents[1] / "scripts/standin_model.py").main([str(folder)])
    return folder


@pytest.fixture(scope="session")
def noise_of() -> Callable:
    """noise_of(samples): one noise row a sample."""

    def build(samples: int, *, seed: int = 0) -> Noise:
        return Noise(keys=torch.tensor([Noise.key(seed, sample, 0) for sample in range(samples)]))

    return build


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
