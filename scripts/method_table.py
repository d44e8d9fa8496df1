"""Write the table of methods in docs/methods.md anew: what each file of conf/method says, and the class that it names.

    python scripts/method_table.py

What a method does is the first line of its module's docstring and the comment that its file opens with; its source are
the arXiv numbers in either.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
from hydra.utils import get_class
from kvarena.methods.budget import Budget
from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).parents[1]
PAGE, METHODS = ROOT / "docs/methods.md", ROOT / "conf/method"
BEGIN, END = "<!-- written by scripts/method_table.py -->\n", "<!-- end -->\n"
HEAD = ("method", "what it does", "recent, sinks, interval", "other parameters", "source")
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
PART = re.compile(r"\$\{part:.*,(\d+)\}")
SWITCHES = ("protect_prompt", "prefill")
DEFAULTS = {field.name: field.default for field in fields(Budget)}


class TableRow(NamedTuple):
    name: str
    purpose: str
    budget: str
    parameters: str
    source: str

    def __str__(self) -> str:
        return re.sub(r" +", " ", f"| {' | '.join(self)} |")


def table_row(name: str, method: DictConfig, file: str) -> TableRow:
    """Of a config as it was composed, and the text of its file; a key that it leaves out is as its class has it."""
    config, raw = (cast(dict, OmegaConf.to_container(method, resolve=resolve)) for resolve in (True, False))
    policy = get_class(config["_target_"])
    text = inspect.getdoc(sys.modules[policy.__module__]) or ""
    notes = [line[2:] for line in file.splitlines() if line.startswith("# ")]
    sources = dict.fromkeys(ARXIV.findall("\n".join([text, *notes])))
    return TableRow(
        f"`{name}`",
        " ".join([*text.splitlines()[:1], *(f"*{note[0].upper()}{note[1:]}.*" for note in notes)]),
        budget(config.get("budget", {})) if policy.evicts else "",
        ", ".join(parameters(config, raw)),
        ", ".join(f"[{number}](https://arxiv.org/abs/{number})" for number in sources),
    )


def budget(settings: Mapping[str, Any]) -> str:
    settings = DEFAULTS | dict(settings)
    numbers = [str(settings[key]) for key in ("recent", "sinks", "interval")]
    return ", ".join([*numbers, *(f"`{key}`" for key in SWITCHES if settings[key])])


def parameters(config: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    """All but the budget, as they are overridden."""
    for key, value in config.items():
        if key == "of":
            yield "`method@method.of=snapkv`"
        elif part := PART.fullmatch(str(raw[key])):
            yield f"`{key}` budget / {part[1]}"
        elif isinstance(value, Mapping) and "_target_" in value and key != "budget":
            yield f"`{key}` {value['_target_'].rpartition('.')[2]}"
        elif key not in ("_target_", "budget"):
            yield f"`{key}` {str(value).lower() if isinstance(value, bool) else 'null' if value is None else value}"


def methods_table() -> str:
    names = sorted(path.stem for path in METHODS.glob("*.yaml"))
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        # a task that leaves each method its own recent slots and interval
        configs = [hydra.compose("evaluate", [f"method={name}", "task=aime25"]) for name in names]
    texts = [(METHODS / f"{name}.yaml").read_text() for name in names]
    rows = [table_row(name, config.method, text) for name, config, text in zip(names, configs, texts, strict=True)]
    rule = f"|{' --- |' * len(HEAD)}"
    return "\n".join([f"| {' | '.join(HEAD)} |", rule, *map(str, rows)]) + "\n"


def renewed(page: str) -> str:
    """The page, its table written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{methods_table()}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/methods.md")
    page = parser.parse_args(arguments).page
    page.write_text(renewed(page.read_text()))


if __name__ == "__main__":
    main()
