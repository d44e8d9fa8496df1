"""Whether a run may stand beside a published number: what its protocol departs from."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, cast

from omegaconf import OmegaConf

from .load import Run


def departures(run: Run, problems: int) -> str:
    """From all `problems` of the task, its max_tokens and the weights that the model's name stands for; empty: none."""
    return "; ".join(found(run, problems))


def found(run: Run, problems: int) -> Iterator[str]:
    if (num := run.header["num_samples"]) != problems:
        yield f"{num} of {problems} problems"
    if not run.is_whole:
        yield f"incomplete {len(run.outcomes)}/{run.num_planned}"
    asked, own = run.config.get("max_tokens"), shipped("task", run.labels.task).get("task", {}).get("max_tokens")
    if asked is not None and own is not None and asked != own:
        yield f"max_tokens {asked}, not {own}"
    if run.header.get("random_weights"):
        yield "random weights"
    layers = run.header.get("shape", {}).get("layers")
    real = shipped("shape", run.labels.model).get("num_hidden_layers")
    if layers is not None and real is not None and layers != real:
        yield f"a stand-in of {layers} layers, not {real}"


def shipped(group: str, name: str) -> dict[str, Any]:
    """A config of that name as it ships; empty: there is none."""
    path = files("kvarena.conf").joinpath(group, f"{name}.yaml")
    if "/" in name or not path.is_file():
        return {}
    found = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")))
    return {str(key): value for key, value in cast(dict[Any, Any], found).items()}
