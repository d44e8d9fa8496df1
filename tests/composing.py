"""A command composes its config once, of files that are read once a process; what comes out is the same.

Hydra composes it twice: first to ask for `hydra.mode`, of which only experiments and words of the command speak.
"""

import pickle
from collections.abc import Sequence

import pytest
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult


def quicken(patch: pytest.MonkeyPatch) -> None:
    """From here on, as long as the patch holds."""
    ask, load = Hydra.get_mode, ConfigRepository.load_config
    known = dict[tuple[str, str], bytes]()  # each who loads one gets a copy: what is composed writes into it

    def mode(self: Hydra, config_name: str | None, overrides: Sequence[str]):
        speaks = any("experiment" in word or "hydra" in word for word in overrides)
        return ask(self, config_name, overrides) if speaks else None

    def loaded(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.path != "kvarena.conf":  # of a place where a test may write
            return load(self, config_path)
        if (source.path, config_path) not in known:
            known[source.path, config_path] = pickle.dumps(load(self, config_path))
        return pickle.loads(known[source.path, config_path])

    patch.setattr(Hydra, "get_mode", mode)
    patch.setattr(ConfigRepository, "load_config", loaded)
