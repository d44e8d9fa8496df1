"""Write the table of methods in docs/methods.md anew: what each file of conf/method says, and the class that it names.

    python scripts/method_table.py

What a method does is the first line of its module's docstring and the comment that its file opens with; its source are
the arXiv numbers in either; its state is what it asks a cache for beside keys, values and positions; what a round takes
was measured by `scripts/speed/eviction.py`. Family and exactness are said here, by module.
"""

import csv
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
from hydra.utils import get_class, instantiate
from kvarena.methods.budget import Budget
from kvarena.methods.policy import Needs
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser, replace_file
from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).parents[1]
PAGE, METHODS = ROOT / "docs/methods.md", ROOT / "conf/method"
BEGIN, END = "<!-- written by scripts/method_table.py -->\n", "<!-- end -->\n"
TIMES = ROOT / "analysis/benchmarks/eviction_cpu.csv"
HEAD = (
    *("method", "family", "what it does", "recent, sinks, interval", "other parameters"),
    *("state", "a round, steps", "source", "exactness"),
)
EQUAL, VARIANT, RECONSTRUCTED = "equal", "variant", "reconstructed"
KINDS = {  # by module: its family, and how it stands to what was published
    "adakv": ("allocation", VARIANT),
    "attn_random": ("window and chance", VARIANT),
    "cam": ("merging", VARIANT),
    "caote": ("window and values", VARIANT),
    "certificate": ("chance", RECONSTRUCTED),
    "curdkv": ("keys and values", VARIANT),
    "evict_large": ("values", VARIANT),
    "expected_attention": ("expected attention", EQUAL),
    "foresight": ("learned", VARIANT),
    "full": ("dense", ""),
    "gkv": ("window and redundancy", EQUAL),
    "h2o": ("mass", VARIANT),
    "inertia": ("mass", RECONSTRUCTED),
    "keydiff": ("keys", VARIANT),
    "knorm": ("keys", VARIANT),
    "kvpress": ("another's", ""),
    "lagkv": ("keys and values", EQUAL),
    "lazy_eviction": ("uses", VARIANT),
    "longflow": ("newest query and values", EQUAL),
    "oracle": ("selection", ""),
    "pyramid": ("allocation", VARIANT),
    "quest": ("selection", VARIANT),
    "random": ("chance", VARIANT),
    "reasonalloc": ("allocation", RECONSTRUCTED),
    "rkv": ("window and redundancy", EQUAL),
    "rocketkv": ("window and selection", RECONSTRUCTED),
    "rpc": ("window", VARIANT),
    "snapkv": ("window", VARIANT),
    "snapkv_original": ("window", VARIANT),
    "streaming": ("place", VARIANT),
    "summary": ("merging", RECONSTRUCTED),
    "tova": ("newest query", VARIANT),
    "twilight": ("selection", VARIANT),
    "vase_attnv": ("window, values and chance", VARIANT),
    "vase_dkv": ("keys, values and chance", VARIANT),
    "watched": ("another's", ""),
}
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
WRAPPED = re.compile(r"/method@of: (\w+)")
PART = re.compile(r"\$\{part:.*,(\d+)\}")
SWITCHES = ("protect_prompt", "prefill")
DEFAULTS = {field.name: field.default for field in fields(Budget)}


class TableRow(NamedTuple):
    name: str
    family: str
    purpose: str
    budget: str
    parameters: str
    state: str
    round: str
    source: str
    exactness: str

    def __str__(self) -> str:
        return re.sub(r" +", " ", f"| {' | '.join(self)} |")


def table_row(name: str, method: DictConfig, file: str, needs: Needs) -> TableRow:
    """Of a config as it was composed, the text of its file, and what the method needs.

    A key that the config leaves out is as its class has it.
    """
    config, raw = (cast(dict, OmegaConf.to_container(method, resolve=resolve)) for resolve in (True, False))
    policy = get_class(config["_target_"])
    text = inspect.getdoc(sys.modules[policy.__module__]) or ""
    notes = [line[2:] for line in file.splitlines() if line.startswith("# ")]
    family, exactness = KINDS.get(policy.__module__.rpartition(".")[2], ("", ""))
    sources = dict.fromkeys(ARXIV.findall("\n".join([text, *notes])))
    return TableRow(
        f"`{name}`",
        family,
        " ".join([*text.splitlines()[:1], *(f"*{note[0].upper()}{note[1:]}.*" for note in notes)]),
        budget(config.get("budget", {})) if policy.evicts else "",
        ", ".join(parameters(config, raw, of[1] if (of := WRAPPED.search(file)) else "snapkv")),
        ", ".join(state(needs)),
        round_times().get(name, "not measured" if policy.evicts else ""),
        ", ".join(f"[{number}](https://arxiv.org/abs/{number})" for number in sources),
        exactness,
    )


def budget(settings: Mapping[str, Any]) -> str:
    settings = DEFAULTS | dict(settings)
    numbers = [str(settings[key]) for key in ("recent", "sinks", "interval")]
    return ", ".join([*numbers, *(f"`{key}`" for key in SWITCHES if settings[key])])


def parameters(config: Mapping[str, Any], raw: Mapping[str, Any], of: str) -> Iterator[str]:
    """All but the budget, as they are overridden; `of`: the method that it wraps, if any."""
    for key, value in config.items():
        if key == "of":
            yield f"`method@method.of={of}`"
        elif part := PART.fullmatch(str(raw[key])):
            yield f"`{key}` budget / {part[1]}"
        elif key in ("demand", "digest"):
            continue  # what a file says that goes by the model
        elif key in ("profile", "scorer"):
            yield f"`{key}` of the model"
        elif isinstance(value, Mapping) and "_target_" in value and key != "budget":
            yield f"`{key}` {value['_target_'].rpartition('.')[2]}"
        elif key not in ("_target_", "budget"):
            yield f"`{key}` {str(value).lower() if isinstance(value, bool) else 'null' if value is None else value}"


def state(needs: Needs) -> Iterator[str]:
    """Beside keys, values and positions: queries of each query head, numbers of each slot, keys of each page."""
    if needs.queries:
        yield f"{needs.queries} {'query' if needs.queries == 1 else 'queries'}"
    columns = {"mass": needs.mass, "order": needs.rank, "score": needs.remembered, "bias": needs.bias}
    yield from (f"{name}, 4 B" for name, needed in columns.items() if needed)
    if needs.used:
        yield "uses, 8 B"
    if needs.page:
        yield f"2 keys a page of {needs.page}"


@cache
def round_times() -> dict[str, str]:
    """Of the methods that were timed: a round over a decode step; empty where none came."""
    with TIMES.open() as file:
        rows = list(csv.DictReader(file))
    return {row["method"]: f"{float(row['round_per_step']):.1f}" if row["round_ms"] else "" for row in rows}


def methods_table() -> str:
    names = sorted(path.stem for path in METHODS.glob("*.yaml"))
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        # a task that leaves each method its own recent slots and interval
        configs = [
            hydra.compose("evaluate", [f"method={name}", "task=aime25", "compression.tokens=4096"]) for name in names
        ]
    texts = [(METHODS / f"{name}.yaml").read_text() for name in names]
    methods = [config.method for config in configs]
    # nothing is known of what a config leaves to its user
    needs = [Needs() if OmegaConf.missing_keys(method) else instantiate(method).needs for method in methods]
    rows = [table_row(*parts) for parts in zip(names, methods, texts, needs, strict=True)]
    rule = f"|{' --- |' * len(HEAD)}"
    return "\n".join([f"| {' | '.join(HEAD)} |", rule, *map(str, rows)]) + "\n"


def renewed(page: str, table: str) -> str:
    """The page with this table; ValueError for one that has no place for it."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no {BEGIN} and {END}: give docs/methods.md, or one that has")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/methods.md")
    page = parser.parse_args(arguments).page
    replace_file(page, renewed(page.read_text(), methods_table()))


if __name__ == "__main__":
    run_script(main)
