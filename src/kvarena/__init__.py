"""A benchmark harness for KV-cache compression in long reasoning.

The sub-packages are the top-level folders of the repository: pyproject.toml maps each into this one. This folder stands
under src/, for a kvarena/ at the root would hide an installed wheel from a Python that starts there.

`generate`, `fidelity`, `load` and `as_press` are imported when they are first asked for, so that this takes no time.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # in an installed package they are beside this file
    from .analysis.load import load  # pyright: ignore[reportMissingImports]
    from .methods.as_press import as_press  # pyright: ignore[reportMissingImports]
    from .runners.fidelity import fidelity  # pyright: ignore[reportMissingImports]
    from .runners.generate import generate  # pyright: ignore[reportMissingImports]

__all__ = ["__version__", "as_press", "fidelity", "generate", "load"]
__version__ = version("kvarena")

HOMES = {
    "as_press": "methods.as_press",
    "fidelity": "runners.fidelity",
    "generate": "runners.generate",
    "load": "analysis.load",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
