"""Whatever is given for a key of a config: exit code 2 and one line, or what a dry run says; nothing on the disk.

A config of conf/ is composed once; a key and a value for it are drawn, and the command runs in this process as hydra
hands it the config.
"""

import contextlib
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra import compose, initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kvarena.runners import benchmark, evaluate
from kvarena.runners.job.errors import run_command
from omegaconf import OmegaConf, open_dict

ROOT = Path(__file__).parents[2]
NO_NUMBERS = (
    "null",
    "abc",
    "true",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "[]",
    "{}",
    "''",
    "[1]",
    "[null]",
    "[[[]]]",
    "{a: 1}",
)
VALUES = (
    *NO_NUMBERS,
    *("-1", "0", "1", "1.5", "1e30", "1e-320", "0x10", "1_000", "9223372036854775808", "-9223372036854775809"),
    *("ünïcode", "'a/b'", "'../x'", "'a\nb'", f"'{'x' * 5000}'", "'\ud800'", "'\0'", "'???'", "'${nothing}'"),
    *("'${.}'", "'${seed}'", "{_target_: builtins.dict}", "{_target_: os.system, command: 'false'}"),
    *(
        "{_target_: nowhere.At}",
        "{_target_: 5}",
        "{_target_: kvarena.methods.full.Full}",
        "[{_target_: builtins.dict}]",
    ),
    "{_target_: os._exit, status: 3}",
)
EXTRA = ("nokey=1", "_target_=builtins.dict", "_partial_=true", "_args_=[1]", "_args_=5", "_convert_=nope")
TARGETS = (
    *("os.system", "builtins.exit", "os._exit", "builtins.dict", "math.sqrt", "os.getcwd", "os.path", "kvarena", "''"),
    *("'a b'", "'..'", "kvarena.methods.full.Full", "kvarena.runners.sampler.Greedy", "kvarena.methods.budget.Budget"),
    *("kvarena.tasks.graders.exact.ExactGrader", "kvarena.runners.evaluate.main"),
)
SMALL = ("difficulty=easy", "num_samples=1", "max_tokens=2", "engine.batch_size=1", "device=cpu", "dry_run=true")
TIMED = ("device=cpu", "engine=eager", "dtype=float32", "batch_size=1", "steps=1", "gate=0", "dry_run=true")
LOCAL = (f"data_dir={ROOT}/tests/problems", "compression.tokens=400")
GROUPS = ("method", "cache", "task", "model", "sampler", "engine", "attention", "workers", "logger")
APPLICATIONS = {
    "evaluate": evaluate.application,
    "fidelity": evaluate.fidelity_application,
    "benchmark": benchmark.application,
}


class Chosen(NamedTuple):
    """A config, and the parts of it whose keys are drawn; none: all."""

    name: str
    overrides: tuple[str, ...]
    part: str = ""


class Composed(NamedTuple):
    config: bytes  # pickled, with hydra's own
    values: Mapping[str, Any]  # of each key


def choices() -> Iterator[Chosen]:
    yield Chosen("evaluate", SMALL)
    yield Chosen("fidelity", (*SMALL[2:], "texts=texts.jsonl"))
    yield Chosen("benchmark", (*TIMED, "positions=[200]", "compression.tokens=128", "shape=tiny"))
    for group in GROUPS:
        for name in sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml")):
            own = (f"task.path={ROOT}/tests/problems/mine.jsonl",) if name == "local" and group == "task" else ()
            press = ("method.press._target_=kvarena.contract.hand_made_press.Spread",)
            own += press if name == "kvpress" and group == "method" else ()
            yield Chosen("evaluate", (*SMALL, *LOCAL, *own, f"{group}={name}"), group)


@cache
def composed(chosen: Chosen) -> Composed:
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        config = compose(chosen.name, list(chosen.overrides), return_hydra_config=True)
    whole = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    values = dict(leaves(OmegaConf.to_container(whole, resolve=True)))
    part = chosen.part and f"{chosen.part}."
    return Composed(pickle.dumps(config), {key: each for key, each in values.items() if f"{key}.".startswith(part)})


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


def given_for(key: str) -> st.SearchStrategy[str]:
    """An override: a value, a key below or a class in its place, or the key left out."""
    below = [f"++{key}.{extra}" for extra in EXTRA] + [f"++{key}._target_={target}" for target in TARGETS]
    values = [f"{key}={value}" for value in VALUES]
    return st.sampled_from(values) | st.sampled_from([f"~{key}", f"{key}.nokey=1", *below])


@st.composite
def commands(draw: st.DrawFn) -> tuple[Chosen, str]:
    chosen = draw(st.sampled_from(list(choices())))
    return chosen, draw(given_for(draw(st.sampled_from(sorted(composed(chosen).values)))))


def run(chosen: Chosen, override: str) -> tuple[int, str]:
    """Exit status, and what stands on stderr."""
    config = pickle.loads(composed(chosen).config)
    errors, status = io.StringIO(), 0

    def application() -> None:
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides([override]), config)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        APPLICATIONS[chosen.name](config)

    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            run_command(application)
        except SystemExit as stop:
            status = stop.code
    return status, errors.getvalue()


def refuse_or_plan(chosen: Chosen, override: str) -> None:
    before = sorted(Path().rglob("*"))
    status, error = run(chosen, override)
    assert sorted(Path().rglob("*")) == before
    key, _, value = override.partition("=")
    was = composed(chosen).values.get(key)
    if value in NO_NUMBERS[1:] and isinstance(was, int | float) and not (value == "true" and isinstance(was, bool)):
        assert status == 2
    if status:
        assert status == 2
        assert error.startswith("kvarena: ")
        assert error.count("\n") == 1
        assert len(error) < 1100
    else:
        assert error == ""


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad_input")
    row = {"id": "a", "prompt_ids": [1, 2, 3], "completion_ids": [4, 5]}
    (folder / "texts.jsonl").write_text(json.dumps(row) + "\n")
    with contextlib.chdir(folder):
        yield


EVERY = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, derandomize=True, phases=[Phase.explicit, Phase.generate], **EVERY)
@given(commands())
def test_a_bad_value_is_refused_in_one_line(command):
    refuse_or_plan(*command)


@pytest.mark.slow
@settings(max_examples=8000, derandomize=False, **EVERY)
@given(commands())
def test_many_bad_values_are_refused_in_one_line(command):
    refuse_or_plan(*command)
