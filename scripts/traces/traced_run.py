"""A run with traces, read back, and the methods that can be shown what it holds."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import hydra
from kvarena.methods.policy import Eviction
from kvarena.runners.cache.replay import State, states
from kvarena.runners.record import LineParser
from kvarena.runners.record.labels import PLAIN


class TracedRun(NamedTuple):
    folder: Path
    title: str
    model: str
    states: list[State]
    traced: Eviction
    methods: dict[str, Eviction]  # the ones asked for that evict, under the compression of the run

    @property
    def output(self) -> Path:
        folder = self.folder / "compare"
        folder.mkdir(exist_ok=True)
        return folder


def read_arguments(description: str, arguments: Sequence[str] | None) -> TracedRun:
    parser = LineParser(description=description)
    parser.add_argument("run", type=Path, help="folder of a run with engine.trace")
    parser.add_argument("--methods", help="names, with commas between; all that evict")
    options = parser.parse_args(arguments)
    return read_traced_run(options.run, options.methods.split(",") if options.methods else None)


def read_traced_run(folder: Path, names: Sequence[str] | None) -> TracedRun:
    files = sorted((folder / "trace").glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} holds no trace: run kvarena method=watched engine.trace=8")
    run = json.loads((folder / "run.json").read_text())
    if (cache := run["labels"].get("cache", PLAIN)) != PLAIN:
        raise ValueError(f"{folder} was traced with cache={cache}, whose codes were decoded: trace one of cache=plain")
    every = sorted(file.name.removesuffix(".yaml") for file in (resources.files("kvarena.conf") / "method").iterdir())
    if unknown := [name for name in names or () if name not in every]:
        raise ValueError(f"no method {', '.join(unknown)}: use some of {', '.join(every)}")
    seen = [state for file in files for state in states(file)]
    if not seen or not seen[0].queries.numel():
        raise ValueError(f"the trace in {folder} holds no queries: trace method=watched, under a smaller budget")
    methods = policies(run, names or [name for name in every if name not in ("watched", "kvpress")])
    for name in [name for name, policy in methods.items() if seen[0].lacks(policy)]:
        print(f"left out: {name}, the trace lacks its {' and '.join(seen[0].lacks(methods.pop(name)))}")
    title = f"{run['labels']['method']} on {run['labels']['task']}, {len(seen)} states"
    traced = hydra.utils.instantiate(run["config"]["method"])
    return TracedRun(folder, title, run["labels"]["model"], seen, traced, methods)


def policies(run: Mapping, names: Sequence[str]) -> dict[str, Eviction]:
    """The evicting ones of these methods, under the compression of a run."""
    compression = run["config"]["compression"]
    settings = [f"compression.{key}={compression[key]}" for key in ("tokens", "recent", "interval")]
    found = {}
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        for name in names:
            config = hydra.compose("evaluate", [f"method={name}", *(s.replace("None", "null") for s in settings)])
            found[name] = hydra.utils.instantiate(config.method)
    return {name: policy for name, policy in found.items() if policy.evicts}
