"""The contract holds for a method of somebody else too, and says where it is broken."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from kvarena.contract import watching  # noqa: F401  or each test would import all of it anew

pytest_plugins = ["pytester"]
QUICK = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")  # each would import hypothesis anew

spec = spec_from_file_location("outside", Path(__file__).parents[1] / "outside.py")
outside = module_from_spec(spec)
spec.loader.exec_module(outside)


@pytest.fixture
def hold(pytester, monkeypatch):
    """hold(name, *words, score=...): a package of the name, its score changed, held to the contract by its own name."""
    site = pytester.mkdir("site")
    monkeypatch.syspath_prepend(site)

    def run(name: str, *words: str, score: str = "") -> pytest.RunResult:
        outside.write_package(site, name)
        if score:
            file = site / name / "parity.py"
            file.write_text(file.read_text().replace("return SIGN", f"return {score} + SIGN"))
        return pytester.runpytest_inprocess(
            "--pyargs", "kvarena.contract", *(words or [f"--method={name}"]), "-q", *QUICK
        )

    return run


def test_a_method_that_keeps_it(hold):
    outcomes = hold("kept").parseoutcomes()
    assert outcomes.keys() == {"passed"}
    assert outcomes["passed"] > 12


def test_a_method_by_its_file_with_a_setting(hold):
    result = hold("filed", "--method=site/filed/conf/method/filed.yaml method.strength=0.5", "-k", "seed or budget")
    assert result.parseoutcomes().keys() == {"passed", "deselected"}


def test_noise_that_the_method_does_not_own_up_to(hold):
    result = hold("drawing", score="view.noise.uniform(view.positions, view.layer, 0, 7)")
    result.stdout.fnmatch_lines(["FAILED *test_only_stochastic_methods_depend_on_the_seed?drawing?*"])
    assert result.parseoutcomes()["failed"] == 1


def test_a_row_that_depends_on_its_neighbours(hold):
    result = hold("crowded", score="10 * view.keys.float().sum((0, -1)).sin()")
    result.stdout.fnmatch_lines(["FAILED *test_neighbours_and_order_do_not_change_a_row?crowded?*"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "Could not find 'method/nowhere'"),
        ("site/strange/parity.yaml", "a config of a method is in a folder called method"),
        ("strange method.strength=weak", "--method: method.strength=weak: use a number"),
    ],
)
def test_what_cannot_be_held_to_it_is_refused_in_a_line(hold, given, said):
    result = hold("strange", f"--method={given}")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert [said in line for line in result.outlines if line.startswith("--method: ")] == [True] * 2  # files


def test_other_suites_know_nothing_of_it(pytester):
    pytester.makepyfile("def test_nothing(): pass")
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--method', default='theirs')")
    assert pytester.runpytest_inprocess("--method=other").parseoutcomes() == {"passed": 1}
    assert not any(name.startswith("kvarena.contract.test") for name in sys.modules)
