"""The configs of a sweep, composed once for each choice of its groups.

Hydra composes the config of a combination from all its files, and twice: when a sweep is checked and when its job is
launched. Combinations that differ in values of keys alone, as in `compression.ratio=2,4`, are copies of one here.
"""

import pickle
import re
from collections.abc import Sequence
from functools import cache

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

VALUE = re.compile(r"(?!hydra\.)\w+(\.\w+)+=")  # of a key below another: no group is called so
REACHES_BELOW = re.compile(r"[~+]|hydra|.*=\{")  # may be of the same key as a value, before or after it; or hydra's own


class SweepConfigs(ConfigLoaderImpl):
    def __init__(self, loader: ConfigLoader) -> None:
        super().__init__(config_search_path=loader.get_search_path())
        self.composed: dict[tuple[str, ...], bytes] = {}  # a choice of groups -> its config, pickled

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        values = [text for text in sweep_overrides if VALUE.match(text)]
        choice = tuple(text for text in sweep_overrides if text not in values)
        if not values or any(map(REACHES_BELOW.match, choice)):
            return super().load_sweep_config(master_config, sweep_overrides)
        if choice not in self.composed:
            self.composed[choice] = pickle.dumps(super().load_sweep_config(master_config, list(choice)))
        config: DictConfig = pickle.loads(self.composed[choice])
        try:
            for override in map(parsed, values):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # the same again, for what hydra says of it
            return super().load_sweep_config(master_config, sweep_overrides)
        config.hydra.overrides.task = sweep_overrides
        config.hydra.job.override_dirname = dirname(sweep_overrides, config.hydra.job.config.override_dirname)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config


@cache
def parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def dirname(overrides: Sequence[str], style: DictConfig) -> str:
    """As hydra.job.override_dirname has it."""
    kept = sorted(text for text in overrides if text.partition("=")[0] not in style.exclude_keys)
    return style.item_sep.join(kept).replace("=", style.kv_sep)


def compose_once() -> None:
    """For the sweep that hydra is about to begin."""
    hydra = GlobalHydra.instance().hydra
    if hydra is not None:
        hydra.config_loader = SweepConfigs(hydra.config_loader)
