"""Traces of the reasoner's own decoding."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from kvarena.runners.evaluate import evaluate
from kvarena.runners.job import build


@pytest.fixture(scope="session")
def traced(tmp_path_factory):
    """traced(method, ...): the folder of a run of one easy problem, 40 tokens."""

    def run(method, *overrides) -> Path:
        folder = tmp_path_factory.mktemp(method)
        short = ["difficulty=easy", "num_samples=1", "max_tokens=40", "compression.tokens=64"]
        settings = [*short, "engine.trace=1", "device=cpu"]
        with initialize_config_module("kvarena.conf", version_base="1.3"):
            config = compose("evaluate", [f"method={method}", f"output_dir={folder}", *settings, *overrides])
        evaluate(build(config, method))
        return folder

    return run


@pytest.fixture(scope="session")
def watched(traced) -> Path:
    """A prompt of some 70 tokens, so rounds at 80 and 96; both are traced in eight layers."""
    return traced("watched", "method@method.of=snapkv", "method.of.smooth=1")
