"""A method is begun with three files that pass as they are, in a package of one's own or here."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from kvarena.runners.plugins.new_method import main

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def forget(tmp_path, monkeypatch):
    """Start in an empty folder, and leave no module of it."""
    monkeypatch.chdir(tmp_path)
    there = set(sys.modules)
    yield
    for name in set(sys.modules) - there:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def run_tests(file: Path) -> int:
    """How many passed, each called as pytest would."""
    scope: dict = {}
    exec(compile(file.read_text(), file, "exec"), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_")]
    for test in tests:
        test()
    return len(tests)


def test_into_a_package(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert main(["large_values", "--package=src/begun"]) == 0
    out = capsys.readouterr().out
    written = [line.removeprefix("wrote ") for line in out.splitlines() if line.startswith("wrote ")]
    assert written == [
        "src/begun/__init__.py",
        "src/begun/conf/__init__.py",
        "src/begun/large_values.py",
        "src/begun/conf/method/large_values.yaml",
        "tests/test_large_values.py",
    ]
    assert '[project.entry-points."kvarena.plugins"]\nbegun = "begun.conf"\n' in out
    assert out.endswith("pytest --pyargs kvarena.contract --method=large_values\n")
    assert run_tests(tmp_path / "tests/test_large_values.py") == 1
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        words = ["method=large_values", f"hydra.searchpath=[file://{tmp_path}/src/begun/conf]", "compression.tokens=90"]
        policy = instantiate(compose("evaluate", words).method)
    assert type(policy) is import_module("begun.large_values").LargeValues
    assert (policy.budget.tokens, policy.power) == (90, 1.0)


def test_into_a_package_within_another_that_is_named_already(tmp_path, capsys):
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer/__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text('[project.entry-points."kvarena.plugins"]\nouter = "outer.conf"\n')
    assert main(["parity", "--package=outer/methods"]) == 0
    assert (
        (tmp_path / "outer/conf/method/parity.yaml").read_text().startswith("_target_: outer.methods.parity.Parity\n")
    )
    assert "from outer.methods.parity import Parity" in (tmp_path / "tests/test_parity.py").read_text()
    assert "does not name" not in capsys.readouterr().out


def test_here(tmp_path, capsys):
    for folder in ("methods", "conf/method", "tests/methods"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "methods/policy.py").touch()
    assert main(["parity"]) == 0
    assert "from .policy import Eviction, LayerView\n" in (tmp_path / "methods/parity.py").read_text()
    assert (tmp_path / "conf/method/parity.yaml").read_text().startswith("_target_: kvarena.methods.parity.Parity\n")
    assert (tmp_path / "tests/methods/test_parity.py").is_file()
    assert capsys.readouterr().out.splitlines()[-1].endswith("python scripts/method_table.py")


def test_it_is_written_in_the_style_of_the_house(tmp_path):
    assert main(["large_values", "--package=begun"]) == 0
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, f"--config={ROOT}/pyproject.toml", "--no-cache", "."]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["LargeValues", "--package=begun"], "'LargeValues' is no name of a method: use lower case"),
        (["a__b", "--package=begun"], "'a__b' is no name of a method"),
        (["large", "--package=my-package"], "--package=my-package: my-package is no name of a Python package"),
        (["large"], "is no checkout of kvarena: give --package FOLDER of your own"),
        (["there", "--package=full"], "full/conf/method/there.yaml is there already: choose another name"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_written(tmp_path, capsys, words, said):
    (tmp_path / "full/conf/method").mkdir(parents=True)
    (tmp_path / "full/conf/method/there.yaml").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert error.startswith("kvarena-new-method: ")
    assert said in error
    assert (out, error.count("\n")) == ("", 1)
    assert sorted(tmp_path.rglob("*")) == before
