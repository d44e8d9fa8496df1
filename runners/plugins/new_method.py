"""kvarena-new-method: begin a method with a file, a config and a test that pass as they are.

In a checkout of kvarena it goes where ours are; `--package FOLDER` into a package of your own, which then has to name
its configs as an entry point of the group `kvarena.plugins`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..record import LineParser, replace_file
from .found import GROUP

METHOD = '''"""{title}: what it keeps, in one clause. As it begins: tokens whose values are large stay.

Authors, year, arXiv number. What deviates from the paper is listed here.
"""

from dataclasses import dataclass

{imports}


@dataclass(frozen=True, kw_only=True)
class {title}(Eviction):
    power: float = 1.0  # a setting, which the config gives

    def score(self, view: LayerView) -> Tensor:  # [B, H, N], higher survives
        return view.values.float().norm(dim=-1) ** self.power
'''
IMPORTS = "from kvarena.methods.policy import Eviction, LayerView\nfrom torch import Tensor"
IMPORTS_HERE = "from torch import Tensor\n\nfrom .policy import Eviction, LayerView"
CONFIG = """_target_: {module}.{title}
budget:
  _target_: kvarena.methods.budget.Budget
  tokens: ${{compression.tokens}}
  recent: ${{or:${{compression.recent}},64}}
  sinks: 4
  interval: ${{or:${{compression.interval}},64}}
  protect_prompt: false
  prefill: false
power: 1.0
"""
TEST = '''"""{title}, by hand."""

from kvarena.contract.hand_made import kept, view_of
from kvarena.methods.budget import Budget
{gap}from {module} import {title}


def test_the_largest_values_stay():
    policy = {title}(budget=Budget(tokens=3, recent=1, sinks=0))
    values = [[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]  # norms 5, 1, 2, 0; the last is recent
    assert kept(policy, view_of(policy, values)) == [[[0, 2, 3]]]
'''
NAMES = """{pyproject} does not name the configs yet:

[project.entry-points."{group}"]
{package} = "{package}.conf"

[tool.setuptools.package-data]
"{package}.conf" = ["**/*.yaml"]
"""


class Place(NamedTuple):
    """Where a method goes."""

    code: Path
    configs: Path
    tests: Path
    module: str  # of the code
    ours: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    parser = LineParser(prog="kvarena-new-method", description=__doc__)
    parser.add_argument("name", help="as in method=NAME: lower case, words joined by _")
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="of your own Python package, as src/mine")
    arguments = parser.parse_args(argv)
    try:
        place = here() if arguments.package is None else in_package(arguments.package)
        for file in begin(arguments.name, place):
            print(f"wrote {file}")
    except (ValueError, OSError) as error:
        print(f"kvarena-new-method: {error}", file=sys.stderr)
        return 2
    print(what_is_next(arguments.name, place))
    return 0


def here() -> Place:
    if not (Path("methods/policy.py").is_file() and Path("conf/method").is_dir()):
        raise ValueError(f"{Path.cwd()} is no checkout of kvarena: give --package FOLDER of your own")
    return Place(Path("methods"), Path("conf/method"), Path("tests/methods"), "kvarena.methods", ours=True)


def in_package(folder: Path) -> Place:
    """The configs stand beside the outermost package that it is in."""
    parts = [folder.resolve()]
    while (parts[-1].parent / "__init__.py").is_file():
        parts.append(parts[-1].parent)
    module = ".".join(part.name for part in reversed(parts))
    if not all(part.name.isidentifier() for part in parts):
        raise ValueError(f"--package={folder}: {module} is no name of a Python package")
    top = folder.joinpath(*[".."] * (len(parts) - 1))
    return Place(folder, top / "conf/method", Path("tests"), module)


def begin(name: str, place: Place) -> list[Path]:
    """Write the three files, and what makes packages of new folders; nothing where one of the three is there."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"{name!r} is no name of a method: use lower case, digits and single _, as in snapkv_values")
    words = {"title": title(name), "module": f"{place.module}.{name}", "gap": "" if place.ours else "\n"}
    words["imports"] = IMPORTS_HERE if place.ours else IMPORTS
    files = {
        place.code / f"{name}.py": METHOD,
        place.configs / f"{name}.yaml": CONFIG,
        place.tests / f"test_{name}.py": TEST,
    }
    for file in files:
        if file.exists():
            raise ValueError(f"{file} is there already: choose another name, or remove it")
    packages = [] if place.ours else [place.code, place.configs.parent]
    begun = {folder / "__init__.py": "" for folder in packages if not (folder / "__init__.py").exists()}
    for file, text in (begun | files).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, text.format(**words))
    return [*begun, *files]


def title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def what_is_next(name: str, place: Place) -> str:
    tests = f"pytest {place.tests}/test_{name}.py; pytest --pyargs kvarena.contract --method={name}"
    if place.ours:
        return f"now: {tests}; python scripts/method_table.py"
    pyproject = Path("pyproject.toml")
    if pyproject.is_file() and GROUP in pyproject.read_text():
        return f"now: {tests}"
    entry = NAMES.format(pyproject=pyproject, group=GROUP, package=place.module.partition(".")[0])
    return f"{entry}\nthen install it, and: {tests}"


if __name__ == "__main__":
    sys.exit(main())
