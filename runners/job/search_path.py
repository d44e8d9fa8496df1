"""Where Hydra looks for configs: beside ours in the packages of plugins."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from ..plugins import plugins


class PluginConfigs(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for plugin in plugins():
            search_path.append(provider=plugin.said, path=f"pkg://{plugin.package}")


def find_plugins() -> None:
    """From here on whatever Hydra composes in this process may name what plugins bring."""
    Plugins.instance().register(PluginConfigs)
