"""What there is to choose from: ours, and what packages of others bring. No torch, which takes seconds to import."""

from .found import GROUP, Plugin, config_folders, plugins

__all__ = ["GROUP", "Plugin", "config_folders", "plugins"]
