"""What a run gives its engine itself: a config that says it once more, below `engine`, would be overruled."""

from collections.abc import Mapping
from typing import Any

from ...methods.settings import shown

GIVEN = (
    *("model", "policy", "sampler", "attention", "storage", "max_tokens", "longest_prompt", "seed", "output_dir"),
    *("teacher", "ranks", "logprobs", "watch"),
)


def refuse_given(engine: Mapping[str, Any]) -> None:
    """Of the keys below `engine`."""
    for name in GIVEN:
        if name in engine:
            raise ValueError(f"engine.{name}={shown(engine[name])}: the run itself decides it, leave it out")
