"""The budget that is asked for, as a ratio, tokens, a share or bytes, becomes tokens."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from ...methods.settings import fit
from ..cache import PLAIN, Storage, tokens_within
from ..model import Config, shape_of
from ..record import file_name


def storage_of(config: Mapping[str, Any]) -> Storage:
    """As configs of before had none, it may be absent."""
    return instantiate(config["cache"]) if config.get("cache") else PLAIN


def tokens_of(share: float, config: Mapping[str, Any]) -> int:
    """The budget that takes this share of dense's bytes, of a config with any budget."""
    made = DictConfig(config)
    policy, checkpoint = instantiate(made.method), instantiate(made.model)
    known = shape_config(checkpoint.name) if config["dry_run"] and checkpoint.remote else checkpoint.config()
    if known is None:
        raise ValueError(f"compression.bytes={share:g}: the shape of {checkpoint.name} is not known to a dry run")
    return tokens_within(share, made.task.dense_length, policy, shape_of(known), storage_of(config))


def resolve(config: DictConfig, within: int | None = None) -> DictConfig:
    """Turn the compression asked for into a budget in tokens; a dense method has none, so one run serves all ratios.

    `within`: the budget that takes so many bytes; None: not known yet, any will do.
    """
    config = config.copy()
    if config.levels and config.difficulty not in config.levels:
        raise ValueError(f"difficulty={config.difficulty}: task {config.task.name} has {', '.join(config.levels)}")
    refuse_uneven(config.levels or {})
    compression = config.compression
    refuse_both(compression)
    dense_length = config.task.get("dense_length")
    if "budget" not in config.method:
        config.compression = {"ratio": 1.0, "tokens": None, "recent": None, "interval": None}
    elif (share := compression.get("share")) is not None:
        if not 0 < share < 1:
            raise ValueError(f"compression.share={share:g}: use a part above 0 and below 1")
        compression.ratio = 1 / share
        compression.tokens = round(fit("task.dense_length", dense_length, int) * share)
        with open_dict(config):
            config.method.budget.share = share
    elif compression.get("bytes") is not None:
        compression.ratio, compression.tokens = None, within or fit("task.dense_length", dense_length, int)
    elif compression.tokens is not None:
        compression.ratio = None
    elif compression.ratio is None or compression.ratio < 1:
        raise ValueError(f"compression.ratio={compression.ratio}: use 1 or more, or give compression.tokens")
    else:
        compression.tokens = round(fit("task.dense_length", dense_length, int) / compression.ratio)
    return config


def refuse_both(compression: Mapping[str, Any]) -> None:
    """A budget is asked for in one way; the ratio has a value whenever none of them has."""
    ways = {key: compression.get(key) for key in ("tokens", "share", "bytes")}
    given = [f"compression.{key}={value}" for key, value in ways.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: use one of them")


def refuse_uneven(levels: Mapping[str, Mapping[str, Any]]) -> None:
    """A key that one difficulty has, all have."""
    for key in sorted({key for sizes in levels.values() for key in sizes}):
        if without := [name for name, sizes in levels.items() if key not in sizes]:
            others = ", ".join(name for name in levels if name not in without)
            raise ValueError(f"levels.{without[0]}.{key} is missing: {others} has it; give it to all or to none")


def shape_config(model: str) -> Config | None:
    """A model of a config that ships is of the shape that ships; None: of another."""
    file = resources.files("kvarena.conf") / "shape" / f"{file_name(model)}.yaml"
    return instantiate(OmegaConf.create(file.read_text())) if file.is_file() else None
