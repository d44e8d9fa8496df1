"""The methods that are held to the contract, each made of its config, small enough for the sequences here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.utils import get_class, instantiate
from kvarena.methods.policy import Policy
from kvarena.runners.cache import Storage
from kvarena.runners.job.search_path import find_plugins
from kvarena.runners.plugins import config_folders
from omegaconf import DictConfig, OmegaConf

from .tiny_calibration import tiny_calibration

TOKENS, RECENT, INTERVAL = 24, 8, 8
PAGE, DENSE_LAYERS = 4, 1
# caches that pack, by the words that choose them; heads of 16 channels have small groups
CACHES = (
    "cache=fp8",
    "cache=int8 cache.keys.group=16 cache.values.group=8 cache.residual=4",
    "cache=int4 cache.keys.group=8 cache.values.group=8",
    "cache=turbo4 cache.residual=8",
    "cache=turbo3",
    "format@cache.values=fp8",
    "cache=low_rank cache.keys.rank=12 cache.values.rank=10 cache.residual=4",
    "cache=codebook cache.keys.parts=8 cache.values.parts=4",
)
BY_CHANNEL = "cache=kivi2 cache.keys.tokens=8 cache.values.group=8 cache.residual=8"
# what a config leaves to its user
GIVEN = {"kvpress": "method.press._target_=kvarena.contract.hand_made_press.Spread"}
SIX = ("full", "quest", "snapkv", "h2o", "vase_attnv", "curdkv_vase")  # that are tried in each of them
WATCHING = ("snapkv", "h2o", "vase_attnv", "curdkv_vase", "snapkv", "vase_attnv", "curdkv_vase", "snapkv")
WATCHED = dict(zip(CACHES, WATCHING, strict=True))


def ours() -> list[str]:
    """The methods that ship with kvarena."""
    names = sorted(file.name.removesuffix(".yaml") for file in (config_folders()[0] / "method").iterdir())
    return [f"{name} {GIVEN[name]}" if name in GIVEN else name for name in names]


def packed(methods: Iterable[str]) -> dict[str, bool]:
    """Each method in each cache that packs, and whether the two are always tried; those that evict not by channel."""
    found = {f"{method} {words}": method in SIX for method in methods for words in CACHES}
    return found | {f"{method} {BY_CHANNEL}": method in SIX for method in methods if not policy_of(method).evicts}


def watched_packed(methods: Iterable[str]) -> dict[str, bool]:
    """The same, where every round is looked at."""
    return {f"{method} {words}": method == WATCHED[words] for method in methods for words in CACHES}


def storage_of(method: str) -> Storage:
    """How its keys and values are stored; what is learned is learned of the tiny model."""
    storage: Storage = instantiate(composed(method, ()).cache)
    return replace(storage, calibration=tiny_calibration()) if storage.learns else storage


@cache
def policy_of(method: str, *overrides: str, tokens: int = TOKENS) -> Policy:
    """The method, rounds of it as all others have them; `method` is what --method may be."""
    of = tuple(word for word in overrides if "@" in word)  # a method inside of a method
    config = composed(method, of)
    values = [word for word in overrides if word not in of]
    small = overrides_that_shrink("method", cast(dict, OmegaConf.to_container(config.method)))
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist([f"compression.tokens={tokens}", *small, *values]))
    return instantiate(changed.method)


@cache
def composed(method: str, of: Sequence[str]) -> DictConfig:
    """The config of a run with the method."""
    name, *words = method.split()
    if name.endswith(".yaml"):
        folder = Path(name).resolve().parent
        if folder.name != "method":
            raise ValueError(f"--method={name}: a config of a method is in a folder called method")
        name = Path(name).stem
        words.append(f"hydra.searchpath=[file://{folder.parent}]")
    compression = [f"compression.recent={RECENT}", f"compression.interval={INTERVAL}", f"compression.tokens={TOKENS}"]
    find_plugins()
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        config = hydra.compose("evaluate", [f"method={name}", *compression, *of, *words])
    OmegaConf.set_struct(config, False)
    return config


def overrides_that_shrink(key: str, settings: Mapping[str, Any]) -> Iterator[str]:
    kind = cast(type[Policy], get_class(settings["_target_"]))
    if kind.selects:
        small = {"page": PAGE, "dense_layers": DENSE_LAYERS}
        yield from (f"{key}.{name}={value}" for name, value in small.items() if settings.get(name, 0) > value)
    if kind.evicts and "budget" in settings:
        small = {"recent": RECENT, "interval": INTERVAL, "prefill": "false"}
        yield from (f"{key}.budget.{name}={value}" for name, value in small.items())
    if settings.get("length"):
        yield f"{key}.length=null"  # a round leaves the budget
    if settings.get("scorer"):
        yield f"{key}.scorer=null"  # of the reasoner, which the tiny model is not
    if settings.get("demand"):
        yield f"{key}.demand=[1,4,9]"  # of three layers, the budget of the middle one is the mean
    if isinstance(settings.get("of"), Mapping):
        yield from overrides_that_shrink(f"{key}.of", settings["of"])
