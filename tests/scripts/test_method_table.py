"""The table of docs/methods.md."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from kvarena.methods.policy import Needs
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("method_table", ROOT / "scripts/method_table.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(script):
    return script.methods_table()


def test_the_page_is_up_to_date(script, table):
    page = (ROOT / "docs/methods.md").read_text()
    assert page == script.renewed(page, table), "run scripts/method_table.py"


def test_a_page_without_a_place_for_it_is_refused(script):
    with pytest.raises(ValueError, match=r"give docs/methods\.md, or one that has"):
        script.renewed("hello", "| a table |")


def test_a_row_says_what_its_file_and_class_say(table):
    rows = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert set(rows) == {path.stem for path in (ROOT / "conf/method").glob("*.yaml")}
    assert rows["rkv"] == (
        "| `rkv` | window and redundancy "
        "| R-KV: importance minus redundancy, so that near-duplicates go first. *As its authors released it.* "
        "| 8, 0, 128, `prefill` | `smooth` 7, `neighbours` ByRank, `aggregate` Mean, `weight` Unweighted, "
        "`lam` 0.1, `window` 8, `threshold` 0.5 | 8 queries, order, 4 B | 14.2 "
        "| [2505.24133](https://arxiv.org/abs/2505.24133) | equal |"
    )
    assert rows["full"] == "| `full` | dense | Full: the dense cache, the reference of every comparison. | | | | | | |"


def test_a_config_may_say_little(script):
    """What it leaves out is as its class has it; a parameter may be a list or a mapping of no class."""
    config = {"_target_": "kvarena.methods.knorm.KNorm", "budget": {"tokens": 64}, "weights": {"a": 1}, "of": None}
    row = script.table_row("short", OmegaConf.create(config), "", Needs(used=0.1, page=4))
    assert (row.budget, row.source) == ("64, 4, 64", "[2406.11430](https://arxiv.org/abs/2406.11430)")
    assert row.parameters == "`weights` {'a': 1}, `method@method.of=snapkv`"
    bare = script.table_row(
        "bare", OmegaConf.create({"_target_": "kvarena.methods.knorm.KNorm"}), "# as it is\n", Needs()
    )
    assert (bare.budget, bare.parameters) == ("64, 4, 64", "")
    assert (row.state, row.family, row.exactness) == ("uses, 8 B, 2 keys a page of 4", "keys", "variant")
    assert bare.round == "not measured"
    assert bare.purpose.endswith("*As it is.*")


def test_what_stands_around_the_table_stays(script):
    before, after = "# Methods\n\n", "\nThe end.\n"
    page = script.renewed(f"{before}{script.BEGIN}\nold\n{script.END}{after}", "new\n")
    assert page == f"{before}{script.BEGIN}\nnew\n\n{script.END}{after}"
