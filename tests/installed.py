"""Runs the commands of an installed kvarena, imports its modules, composes its configs; prints what it found as JSON.

tests/test_wheel.py starts it in a process and a folder of its own.
"""

import json
import runpy
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from pkgutil import walk_packages

import kvarena
import kvarena.conf
from hydra import compose, initialize_config_module

CONF = Path(kvarena.conf.__file__).parent
# a module, and what it needs beside the dependencies
EXTRA = {
    "kvarena.kernels.attend.flash": "flash_attn",
    "kvarena.runners.export.inspect_log": "inspect_ai",
    **{
        f"kvarena.runners.weights.{name}": "gguf"
        for name in ("gguf_file", "hugging_face", "importer", "shards", "tensors")
    },
}


def helps(commands: Path) -> dict[str, str]:
    """The first line that each says of itself."""
    found = {}
    for command in commands.iterdir():
        sys.argv = [str(command), "--help"]
        with redirect_stdout(StringIO()) as said, suppress(SystemExit):
            runpy.run_path(str(command), run_name="__main__")
        found[command.name] = said.getvalue().partition("\n")[0]
    return found


def modules() -> dict[str, str]:
    """The file of each, imported but where its extra is absent."""
    found = {kvarena.__name__: kvarena.__file__}
    for module in walk_packages(kvarena.__path__, "kvarena."):
        if module.name not in EXTRA or find_spec(EXTRA[module.name]):
            import_module(module.name)
        found[module.name] = find_spec(module.name).origin
    return found


def composed() -> int:
    """How many configs were: each primary one by itself, one choice of every other group at a time."""
    groups = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in CONF.iterdir()}
    asked = [(primary.stem, []) for primary in CONF.glob("*.yaml")]
    del groups["experiment"]  # tests/test_experiments.py composes each
    groups["method"] = groups["method"][: len(groups["task"])]  # tests/contract all of them
    asked += [("benchmark", [f"shape={name}"]) for name in groups.pop("shape")]
    asked += [("whole_run", [f"mix={name}"]) for name in groups.pop("mix")]
    asked += [("forget", [f"{group}={name}"]) for group in ("span", "erasers") for name in groups.pop(group)]
    asked += [(f"grader/{name}", []) for name in groups.pop("grader")]  # of kvarena-grade
    asked += [("evaluate", ["cache=fp8", f"format@cache.keys={name}"]) for name in groups.pop("format")]
    for choices in zip_longest(*groups.values()):
        asked.append(("evaluate", [f"{group}={name}" for group, name in zip(groups, choices, strict=True) if name]))
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        for primary, overrides in asked:
            compose(primary, overrides, return_hydra_config=True)
    return len(asked)


if __name__ == "__main__":
    found = {"version": kvarena.__version__, "helps": helps(Path(sys.argv[1])), "modules": modules()}
    print(json.dumps(found | {"composed": composed()}))
