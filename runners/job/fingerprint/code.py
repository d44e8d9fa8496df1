"""The code that decides what a run says: the modules of its classes, and what these import of their own.

A module counts as its syntax tree without comments and docstrings, so spaces and words are free to change. Libraries
that run.json gives the version of, and Python's own, do not count.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from hydra.utils import get_object

DATA_SIDE = ("task", "workers", "logger")  # who asks, grades, watches and does the work does not change a token
ASKS = "kvarena.tasks"  # so do these
KNOWN = {*sys.stdlib_module_names, "torch", "transformers", "tokenizers", "triton", "numpy", "hydra", "omegaconf"}
INSTALLED = {"site-packages", "dist-packages"}


def code(config: Mapping[str, Any], also: Iterable[str] = ()) -> dict[str, str]:
    """sha256 of each module, by name: the method with all that it inherits, the engine, the sampler and their own."""
    todo = {module for target in targets(config) for module in homes(target)} | set(also)
    found: dict[str, str] = {}
    while todo:
        name = todo.pop()
        path = source(name)
        if name in found or path is None or name.startswith(ASKS):
            continue
        status = path.stat()
        found[name], imported = parsed(path, name, status.st_mtime_ns, status.st_size)
        todo |= imported
    return dict(sorted(found.items()))


def targets(config: Mapping[str, Any]) -> Iterator[str]:
    """What a config names as `_target_`, at any depth, but for the side of the data."""
    for key, value in config.items():
        if key == "_target_":
            yield value
        elif key not in DATA_SIDE:
            for part in value if isinstance(value, list) else [value]:
                yield from targets(part) if isinstance(part, Mapping) else ()


def homes(target: str) -> set[str]:
    """The modules of what a `_target_` names: for a class, of all that it inherits from."""
    named = get_object(target)
    names = {part.__module__ for part in getattr(named, "__mro__", [named])}
    return {name for name in names if name.partition(".")[0] not in KNOWN}


def counts(name: str, package: str) -> bool:
    """Whether a module is of the same package as its importer, or of one beside it that nobody installed."""
    root = name.partition(".")[0]
    if root == package.partition(".")[0]:
        return True
    path = None if root in KNOWN else source(root)
    return path is not None and not INSTALLED & set(path.parts)


def source(name: str) -> Path | None:
    """Its file; None where there is no such module, or it has no source."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@cache
def parsed(path: Path, name: str, mtime_ns: int, size: int) -> tuple[str, frozenset[str]]:
    """sha256 of a module's tree, and the modules that it imports."""
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return hashlib.sha256(json.dumps(plain(tree)).encode()).hexdigest(), frozenset(imports(tree, package))


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of modules that count, also where they are imported inside of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if counts(alias.name, package))
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            for alias in node.names if counts(base, package) else ():
                inside = f"{base}.{alias.name}"
                yield inside if source(inside) else base


def plain(node: Any) -> Any:
    """A tree as nested lists, the same on every Python: without places, bare texts, and fields that are empty."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
        return [type(node).__name__, *([name, plain(value)] for name, value in fields if value not in (None, []))]
    if isinstance(node, list):
        return [plain(part) for part in node if not is_text(part)]
    return repr(node)


def is_text(node: Any) -> bool:
    """A statement that is nothing but a string: a docstring, or a comment in its clothes."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
