"""Packages of others that bring methods, tasks, models or graders: entry points of the group `kvarena.plugins`.

The value of one names a package of configs, in folders as those of `kvarena.conf`; what `_target_` names in them is
imported from wherever it is. No torch.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

GROUP = "kvarena.plugins"
OURS = "kvarena.conf"


class Plugin(NamedTuple):
    package: str  # of its configs
    said: str  # for messages


def plugins() -> list[Plugin]:
    """Those that are installed. ValueError for one that cannot be imported, or brings what is there already."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    named = [Plugin(entry.value, described(entry)) for entry in dict.fromkeys(found)]
    homes = dict.fromkeys(configs_of(OURS), OURS)
    for plugin in named:
        for name in imported(plugin):
            if name in homes:
                raise ValueError(f"{plugin.said}: {name} is in {homes[name]} already, give it another name")
            homes[name] = plugin.package
    return named


def config_folders() -> list[Traversable]:
    """Ours, and those of the plugins."""
    return [files(package) for package in (OURS, *(plugin.package for plugin in plugins()))]


def described(entry: EntryPoint) -> str:
    package = f"package {entry.dist.name}, " if entry.dist else ""
    return f"{package}entry point {GROUP}: {entry.name} = {entry.value}"


def imported(plugin: Plugin) -> tuple[str, ...]:
    """Its configs."""
    try:
        import_module(plugin.package)
    except Exception as error:  # whatever a module of another raises
        raise ValueError(f"{plugin.said}: cannot be imported ({type(error).__name__}: {error})") from error
    try:
        found = configs_of(plugin.package)
    except (TypeError, OSError) as error:
        raise ValueError(f"{plugin.said}: is no package of configs") from error
    if not found:
        raise ValueError(f"{plugin.said}: holds no GROUP/NAME.yaml; are they package data?")
    return found


def configs_of(package: str) -> tuple[str, ...]:
    """ "method/snapkv.yaml" and all the others."""
    return tuple(below(files(package)))


def below(folder: Traversable, prefix: str = "") -> Iterator[str]:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.is_dir():
            yield from below(each, f"{prefix}{each.name}/")
        elif each.name.endswith(".yaml"):
            yield f"{prefix}{each.name}"
