"""What there is to choose from: `kvarena list methods`, and what a command says before Hydra reads its words."""

import ast
import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from .found import config_folders

GROUPS = {"methods": "method", "tasks": "task", "models": "model"}
TARGET = re.compile(r"^_target_: ([\w.]+)\.\w+ *(?:#.*)?$", re.MULTILINE)
COMMENT = re.compile(r"^# (?!@package)(.*)$", re.MULTILINE)
PATH = re.compile(r"^path: ([^#\n]+?) *(?:#.*)?$", re.MULTILINE)


def answer(words: Sequence[str]) -> str | None:
    """To the words of a command; None: they are Hydra's."""
    if list(words) == ["--version"]:
        return f"kvarena {version('kvarena')}"
    if not words or words[0] != "list":
        return None
    if len(words) != 2 or words[1] not in GROUPS:
        raise ValueError(f"kvarena {' '.join(words)}: use kvarena list {'|'.join(GROUPS)}")
    folders = [folder / GROUPS[words[1]] for folder in config_folders()]
    there = [file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.name.endswith(".yaml")]
    lines = {file.name.removesuffix(".yaml"): said_of(file.read_text(), words[1] == "methods") for file in there}
    width = max(map(len, lines))
    return "\n".join(f"{name:{width}}  {lines[name]}".rstrip() for name in sorted(lines))


def said_of(config: str, is_method: bool) -> str:
    """Of a method what its module says and what its file adds, of others what the file says, or where a model is."""
    comment, target, path = (pattern.search(config) for pattern in (COMMENT, TARGET, PATH))
    if is_method and target:
        said = first_line(target[1])
        return f"{said} ({comment[1]})" if comment else said
    return comment[1] if comment else path[1] if path else ""


def first_line(module: str) -> str:
    """Of its docstring, read and not imported."""
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        return f"there is no module {module}"
    return (ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or "").partition("\n")[0].removesuffix(".")
