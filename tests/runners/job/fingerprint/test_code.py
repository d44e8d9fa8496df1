"""Code counts by what it does: a word more in a comment is no change, another sign is, wherever it stands."""

import ast
import importlib
import sys

import pytest
from kvarena.runners.job.fingerprint import code
from kvarena.runners.job.fingerprint.code import plain

METHOD = """
from kvarena.methods.snapkv import SnapKV
from outside_scores import half

class Mine(SnapKV):
    def score(self, view):
        return half(super().score(view))
"""
SCORES = "def half(score):\n    return score / 2\n"
BUDGET = {"_target_": "kvarena.methods.budget.Budget", "tokens": 58}
CONFIG = {
    "method": {"_target_": "outside_method.Mine", "budget": BUDGET},
    "engine": {"_target_": "kvarena.runners.generate.Decoder"},
    "task": {"grader": {"_target_": "kvarena.tasks.graders.exact.ExactGrader"}},
}


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Two modules that lie beside the command; outside(name, text) writes one anew."""

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    write("outside_method", METHOD)
    write("outside_scores", SCORES)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield write
    for name in ("outside_method", "outside_scores"):
        sys.modules.pop(name, None)


def test_a_method_brings_all_that_it_inherits_and_imports(outside):
    names = set(code(CONFIG))
    assert {"outside_method", "outside_scores"} <= names
    assert {"kvarena.methods.snapkv", "kvarena.methods.scores", "kvarena.methods.policy"} <= names
    assert {"kvarena.runners.cache.cache", "kvarena.runners.generate.decoder", "kvarena.kernels.evict.kernel"} <= names
    assert {"kvarena.runners.attention", "kvarena.runners.sampler", "kvarena.methods.budget"} <= names


def test_who_asks_grades_and_records_is_left_out_and_so_are_libraries(outside):
    names = set(code(CONFIG))
    assert not [name for name in names if name.startswith(("kvarena.tasks", "kvarena.runners.job", "torch", "typing"))]
    assert "kvarena.methods.quest" not in names


def test_only_what_changed_is_another(outside):
    before = code(CONFIG)
    outside("outside_scores", "# halves\ndef half(score):\n    '''Half of it.'''\n\n    return (score/2)\n")
    assert code(CONFIG) == before
    outside("outside_scores", SCORES.replace("/ 2", "/ 4"))
    after = code(CONFIG)
    assert {name for name in after if after[name] != before[name]} == {"outside_scores"}
    assert after.keys() == before.keys()


def test_modules_beside_the_config_can_be_named(outside):
    found = code(CONFIG, ["kvarena.runners.fidelity"])
    assert "kvarena.runners.fidelity.drift" in found.keys() - code(CONFIG).keys()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1  # one", "x = 1", True),
        ("'doc'\nx = 1", "x = 1", True),
        ("class A:\n    'doc'\n    x: int\n    'of x'", "class A:\n    x: int", True),
        ("x = (1 +\n  2)", "x = 1 + 2", True),
        ("x = 1", "x = 1.0", False),
        ("x = 1", "x = True", False),
        ("x = 'a'", "x = b'a'", False),
        ("x = None", "x = ''", False),
        ("f(a, b)", "f(b, a)", False),
        ("def f(x=1): ...", "def f(x=2): ...", False),
        ("@a\ndef f(): ...", "def f(): ...", False),
    ],
)
def test_a_tree_is_equal_where_the_code_does_the_same_thing(one, other, same):
    assert (plain(ast.parse(one)) == plain(ast.parse(other))) is same


def test_a_tree_has_no_places_and_no_empty_fields():
    """Or it would depend on the Python that reads it: 3.12 adds type parameters, 3.13 leaves out what is empty."""
    load = ["ctx", ["Load"]]
    call = ["Call", ["func", ["Name", ["id", "'g'"], load]], ["args", [["Name", ["id", "'a'"], load]]]]
    arguments = ["arguments", ["args", [["arg", ["arg", "'a'"]]]], ["defaults", [["Constant", ["value", "2"]]]]]
    function = ["FunctionDef", ["name", "'f'"], ["args", arguments], ["body", [["Return", ["value", call]]]]]
    assert plain(ast.parse("def f(a=2):\n    'doc'\n    return g(a)")) == ["Module", ["body", [function]]]
