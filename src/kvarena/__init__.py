"""A benchmark harness for KV-cache compression in long reasoning.

The sub-packages are the top-level folders of the repository: pyproject.toml maps each into this one. This folder stands
under src/, for a kvarena/ at the root would hide an installed wheel from a Python that starts there.
"""

from importlib.metadata import version

__version__ = version("kvarena")
