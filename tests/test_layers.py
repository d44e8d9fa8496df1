"""Who may import whom."""

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "kernels": set(),
    "tasks": set(),
    "conf": set(),
    "methods": {"kernels"},
    "runners": {"methods", "kernels", "tasks"},
    "analysis": {"runners.interrupt", "runners.record", "runners.loops", "runners.verify"},
}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
# inside runners, of runners; what has no entry here is an entry point and may import all that has
ROOMS = {
    "interrupt": set(),
    "loops": set(),
    "plugins": {"interrupt", "record"},
    "record": set(),
    "attention": set(),
    "sampler": set(),
    "cache": {"attention", "record"},
    "model": {"cache"},
    "parallel": {"cache", "model"},
    "generate": {"attention", "cache", "model", "parallel", "sampler"},
    "graphs": {"cache", "generate", "model", "parallel"},
    "speed": {"cache", "generate", "model", "sampler"},
    "job": {"attention", "cache", "generate", "interrupt", "model", "parallel", "plugins", "record", "sampler"},
    "fidelity": {"cache", "generate", "model", "record", "sampler"},
    "forget": {"cache", "fidelity", "generate", "job", "model", "record"},
    "guard": {"forget", "readout"},
    "profile": {"fidelity", "generate", "job", "model", "record"},
    "readout": {"cache", "job", "model", "record"},
    "calibrate": {"cache", "generate", "job", "model", "profile", "record"},
    "weights": {"job", "model", "record"},
    "workers": {"cache", "fidelity", "generate", "interrupt", "job", "loops", "model", "parallel", "record"},
}
RUNNERS = [path for path in FILES if path.is_relative_to(ROOT / "runners")]
OUTSIDE = sorted(path for folder in ("scripts", "tests") for path in (ROOT / folder).rglob("*.py"))


def names(source: str, package: tuple[str, ...]) -> set[str]:
    """Absolute names of what a file in a package of ours imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(("kvarena", *package[: len(package) + 1 - node.level])) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@cache
def imports(path: Path) -> set[str]:
    return names(path.read_text(), path.relative_to(ROOT).parent.parts)


def ours(path: Path) -> set[str]:
    return {name.removeprefix("kvarena.") for name in imports(path) if name.startswith("kvarena.")}


def allowed(name: str, folder: str) -> bool:
    return any(name == entry or name.startswith(entry + ".") for entry in {folder, *MAY_IMPORT[folder]})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_to_the_table(path):
    folder = path.relative_to(ROOT).parts[0]
    assert [name for name in sorted(ours(path)) if not allowed(name, folder)] == []


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(ROOT / "tasks")], ids=lambda path: path.name)
def test_tasks_do_without_torch(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"torch", "transformers"}


def test_only_model_touches_transformers():
    """And what writes a folder for it to read, from another format."""
    touching = {str(p.relative_to(ROOT)) for p in FILES if any(n.startswith("transformers.") for n in imports(p))}
    assert {str(Path(name).parent) for name in touching} == {"runners/model", "runners/weights"}


def room(path: Path) -> str:
    """The file or folder of runners that it is, or is in."""
    return path.relative_to(ROOT / "runners").with_suffix("").parts[0]


@pytest.mark.parametrize("path", RUNNERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_of_runners_keep_to_their_table(path):
    inside = {name.split(".")[1] for name in ours(path) if name.startswith("runners.")}
    assert inside - {room(path)} <= ROOMS.get(room(path), ROOMS.keys())


def test_studies_stand_on_the_analysis_and_nothing_on_them():
    beneath = [path for path in FILES if path.parent == ROOT / "analysis"]
    assert [path.name for path in beneath if any(name.startswith("analysis.studies") for name in ours(path))] == []


def given(folder: Path) -> set[str]:
    """What the folder's __init__ says that it gives."""
    for node in ast.parse((folder / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_what_a_folder_of_runners_gives_is_imported_from_the_folder():
    contracts = {folder.parent: given(folder.parent) for folder in (ROOT / "runners").glob("*/__init__.py")}
    for folder, names_given in contracts.items():
        inner = re.compile(rf"runners\.{folder.name}\.\w+\.({'|'.join(names_given)})")
        others = [path for path in (*FILES, *OUTSIDE) if not path.is_relative_to(folder)]
        assert [(path.name, name) for path in others for name in ours(path) if inner.fullmatch(name)] == []


def test_a_script_has_the_name_of_no_package():
    """Its folder is first on the path of what it imports; transformers looks for `kernels` and others by name."""
    from transformers.utils import import_utils

    looked_for = {name for name in vars(import_utils) if name.startswith("is_") and name.endswith("_available")}
    packages = {name.removeprefix("is_").removesuffix("_available") for name in looked_for}
    packages |= {*sys.stdlib_module_names, *packages_distributions()}
    assert len(packages) > 300
    assert [path for path in (ROOT / "scripts").rglob("*.py") if path.stem in packages] == []


def test_few_names_stand_in_more_than_one_file():
    """So that `git grep NAME` finds one thing. The twins of a kernels folder are one thing, and so are entry points."""
    places: dict[str, set[Path]] = defaultdict(set)
    for path in [path for folder in (*MAY_IMPORT, "scripts") for path in (ROOT / folder).rglob("*.py")]:
        place = path.parent if path.parent.parent == ROOT / "kernels" else path
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in ("main", "application"):
                places[node.name].add(place)
    several = sorted(name for name, found in places.items() if len(found) > 1)
    assert len(several) <= 0.04 * len(places), f"{len(several)} of {len(places)}: {', '.join(several)}"


def test_every_form_of_import_is_read():
    """Or a forbidden import could hide in a form that is not."""
    source = "\n".join(
        [
            "from ..kernels import evict",
            "from .cache import KVCache",
            "from . import layer",
            "def inside():",
            "    from ..tasks.task import Task",
            "import torch.nn",
            "from kvarena.analysis import stats",
        ]
    )
    assert names(source, ("runners",)) == {
        "kvarena.kernels.evict",
        "kvarena.runners.cache.KVCache",
        "kvarena.runners.layer",
        "kvarena.tasks.task.Task",
        "torch.nn",
        "kvarena.analysis.stats",
    }
