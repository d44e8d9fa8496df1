"""A wheel is whole: built and installed beside the packages that are here, it holds and runs all that the tree does."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import kvarena
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {name: folder for name, folder in PROJECT["tool"]["setuptools"]["package-dir"].items() if name != "kvarena"}
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
APART = ("analysis/results/",)  # of the repository alone


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that the wheel was installed into. It is built apart: what a build leaves would be in the next one."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE", *FOLDERS.values()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).symlink_to(ROOT / name)
    options = ("--no-deps", "--no-index")
    subprocess.run([*PIP, "wheel", *options, "--no-build-isolation", f"--wheel-dir={built}", source], check=True)
    target = tmp_path_factory.mktemp("installed")
    subprocess.run([*PIP, "install", *options, "--no-compile", f"--target={target}", *built.iterdir()], check=True)
    return target


def in_the_tree() -> set[str]:
    """Every file of ours as the wheel should have it."""
    folders = [("kvarena", ROOT / "src/kvarena"), *((name, ROOT / folder) for name, folder in FOLDERS.items())]
    return {
        f"{name.replace('.', '/')}/{file.relative_to(folder)}"
        for name, folder in folders
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not str(file.relative_to(ROOT)).startswith(APART)
    }


def test_it_holds_every_file_of_the_tree(installed):
    there = {str(file.relative_to(installed)) for file in (installed / "kvarena").rglob("*") if file.is_file()}
    assert there == in_the_tree()


def test_it_runs_away_from_the_repository(installed, tmp_path):
    """Its commands say what they are for, all its modules are imported from it, all its configs compose."""
    environment = os.environ | {"PYTHONPATH": str(installed), "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "tests/installed.py", installed / "bin"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["version"] == PROJECT["project"]["version"]
    modules = {name for name in in_the_tree() if name.endswith(".py")}
    assert {str(Path(file).relative_to(installed)) for file in found["modules"].values()} == modules
    assert found["helps"].keys() == PROJECT["project"]["scripts"].keys()
    assert found["helps"]["kvarena-grade"].startswith("usage: kvarena-grade ")
    assert found["helps"]["kvarena"].startswith("kvarena: one method, model, task and budget, ")
    assert found["composed"] > 50


def test_the_package_says_its_version_and_is_light():
    assert kvarena.__version__ == version("kvarena") == PROJECT["project"]["version"]
    heavy = "import sys, kvarena; print({'torch', 'numpy', 'hydra'} & sys.modules.keys())"
    command = [sys.executable, "-c", heavy]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "set()\n"


def test_what_is_used_from_python_is_there_when_it_is_asked_for():
    from kvarena.analysis.load import load
    from kvarena.methods.as_press import as_press
    from kvarena.runners.fidelity import fidelity
    from kvarena.runners.generate import generate

    assert (kvarena.as_press, kvarena.load, kvarena.fidelity, kvarena.generate) == (as_press, load, fidelity, generate)
    assert {"__version__", "as_press", "fidelity", "generate", "load"} <= set(dir(kvarena))
    with pytest.raises(AttributeError, match="module 'kvarena' has no attribute 'generat'"):
        kvarena.generat  # noqa: B018


def test_type_checkers_are_told_where_it_is():
    (told,) = (
        node for node in ast.parse((ROOT / "src/kvarena/__init__.py").read_text()).body if isinstance(node, ast.If)
    )
    assert ast.unparse(told.test) == "TYPE_CHECKING"
    assert {line.names[0].name: line.module for line in told.body} == {
        "as_press": "methods.as_press",
        "load": "analysis.load",
        "fidelity": "runners.fidelity",
        "generate": "runners.generate",
    }
    assert {name: getattr(kvarena, name).__module__ for name in ("as_press", "fidelity", "load", "generate")} == {
        "as_press": "kvarena.methods.as_press",
        "fidelity": "kvarena.runners.fidelity.measure",
        "load": "kvarena.analysis.load",
        "generate": "kvarena.runners.generate.from_python",
    }
