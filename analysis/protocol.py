"""Whether a run may stand beside a published number: what its protocol departs from."""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, cast

from omegaconf import OmegaConf

from .load import Run

# of a task whose published runs were not made as the task is run here
EXPERIMENTS = {"gsm8k": "pilot_gsm8k"}
UNKNOWN = object()  # what a config makes of others
OR = re.compile(r"\$\{or:\$\{[\w.]+\},(\d+)\}")  # of a config: what is asked for all methods, or this


def departures(run: Run, problems: int) -> str:
    """From all `problems` of the task, its max_tokens and sampler, the weights and dtype that the model's name stands
    for, and the settings that the method's stands for; empty: none."""
    return "; ".join(found(run, problems))


def found(run: Run, problems: int) -> Iterator[str]:
    if (num := run.header["num_samples"]) != problems:
        yield f"{num} of {problems} problems"
    if not run.is_whole:
        yield f"incomplete {len(run.outcomes)}/{run.num_planned}"
    config, task = run.config, shipped("task", run.labels.task)
    experiment = shipped("experiment", EXPERIMENTS.get(run.labels.task, ""))
    asked, own = config.get("max_tokens"), experiment.get("max_tokens", task.get("task", {}).get("max_tokens"))
    if asked is not None and own is not None and asked != own:
        yield f"max_tokens {asked}, not {own}"
    yield from differing("sampler", config.get("sampler"), sampler_of(task) | experiment.get("sampler", {}))
    dtype = {"dtype": shipped("model", run.labels.model).get("dtype")}
    yield from differing("model", config.get("model"), dtype)
    yield from differing("method", config.get("method"), method_of(run.labels.method))
    if run.header.get("random_weights"):
        yield "random weights"
    layers = run.header.get("shape", {}).get("layers")
    real = shipped("shape", run.labels.model).get("num_hidden_layers")
    if layers is not None and real is not None and layers != real:
        yield f"a stand-in of {layers} layers, not {real}"


def differing(name: str, asked: Mapping[str, Any] | None, own: Mapping[str, Any]) -> Iterator[str]:
    """What both say, each otherwise; of another class that alone, for its keys are of its own."""
    both = {key: (asked[key], plain(own[key])) for key in own if asked and key in asked}
    if (classes := both.get("_target_")) and classes[0] != classes[1]:
        there, here = (str(each).rpartition(".")[2] for each in classes)
        yield f"{name} {there}, not {here}"
        return
    for key, (there, here) in both.items():
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from differing(f"{name}.{key}", there, here)
        elif here is not UNKNOWN and there != here:
            yield f"{name}.{key} {there}, not {here}"


def plain(value: Any) -> Any:
    if not isinstance(value, str) or "${" not in value:
        return value
    return int(default[1]) if (default := OR.fullmatch(value)) else UNKNOWN


def sampler_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """That a task's file chooses."""
    chosen = [each["override /sampler"] for each in task.get("defaults", []) if "override /sampler" in each]
    return shipped("sampler", chosen[0]) if chosen else {}


def method_of(name: str) -> dict[str, Any]:
    """With what its file takes of others."""
    own = shipped("method", name)
    bases = [each for each in own.pop("defaults", []) if isinstance(each, str) and each != "_self_"]
    return {key: value for base in bases for key, value in method_of(base).items()} | own


def shipped(group: str, name: str) -> dict[str, Any]:
    """A config of that name as it ships; empty: there is none."""
    path = files("kvarena.conf").joinpath(group, f"{name}.yaml")
    if "/" in name or not path.is_file():
        return {}
    found = OmegaConf.to_container(OmegaConf.create(path.read_text(encoding="utf-8")))
    return {str(key): value for key, value in cast(dict[Any, Any], found).items()}
