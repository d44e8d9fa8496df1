"""Every key of a config is checked by its annotation before anything is built, and refused in one line."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_module
from kvarena.runners.job import build
from kvarena.runners.job.keys import Benchmark, Evaluation
from kvarena.runners.job.schema import Section, check_plain, checked
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture(scope="module", autouse=True)
def _configs():
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        yield


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def test_what_ships_passes_and_stays_as_it_is():
    """Every option of every group, a method at a time."""
    others = {
        group: options(group) for group in ("task", "model", "sampler", "engine", "attention", "workers", "logger")
    }
    for place, method in enumerate(options("method")):
        choice = {group: names[place % len(names)] for group, names in others.items()}
        own = ["task.path=mine.jsonl"] if choice["task"] == "local" else []
        asked = [f"{group}={name}" for group, name in choice.items()]
        own += ["method.profile=null"] if method == "reasonalloc" else []  # none ships but that of the reasoner
        own += ["method.scorer=null"] if method == "foresight" else []  # likewise
        own += ["method.press._target_=kvarena.contract.hand_made_press.Spread"] if method == "kvpress" else []
        config = compose("evaluate", [f"method={method}", "compression.tokens=400", *asked, *own])
        check_plain(Evaluation, config)
        assert checked(Evaluation, config) == OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize("shape", options("shape"))
def test_what_ships_for_a_benchmark_passes(shape):
    config = compose("benchmark", [f"shape={shape}"])
    check_plain(Benchmark, config)
    assert checked(Benchmark, config) == OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(("section", "name"), [(Evaluation, "evaluate"), (Benchmark, "benchmark")])
def test_every_key_has_a_type(section, name):
    keys = set(compose(name)) - {"compression", "ray", "share"}
    assert keys <= set(section.__annotations__)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_samples=2.5", "num_samples=2.5: use a whole number, 1 or more, or null"),
        ("num_samples=abc", "num_samples=abc: use a whole number, 1 or more, or null"),
        ("num_samples=true", "num_samples=true: use a whole number, 1 or more, or null"),
        ("num_samples=0", "num_samples=0: use 1 or more"),
        ("num_draws=null", "num_draws=null: use a whole number, 1 or more"),
        ("max_tokens=null", "max_tokens=null: use a whole number, 1 or more"),
        ("max_tokens=abc", "max_tokens=abc: use a whole number, 1 or more"),
        ("max_tokens='${difficulty}'", "max_tokens=medium: use a whole number, 1 or more"),
        ("compression.ratio=abc", "compression.ratio=abc: use a number or null"),
        ("compression.ratio=nan", "compression.ratio=nan: use a number or null"),
        ("compression.ratio=null", "compression.ratio=None: use 1 or more, or give compression.tokens"),
        ("compression.tokens=2.5", "compression.tokens=2.5: use a whole number, 1 or more, or null"),
        ("compression.share=abc", "compression.share=abc: use a number or null"),
        ("compression.share=1", "compression.share=1: use a part above 0 and below 1"),
        ("compression.share=-0.5", "compression.share=-0.5: use a part above 0 and below 1"),
        ("compression.recent=half", "compression.recent=half: use a whole number or null"),
        ("task.dense_length=long", "task.dense_length=long: use a whole number"),
        ("engine.batch_size=1.5", "engine.batch_size=1.5: use a whole number, 1 or more"),
        ("engine.batch_size=0", "engine.batch_size=0: use 1 or more"),
        ("engine.trace=-1", "engine.trace=-1: use 0 or more"),
        ("engine._partial_=maybe", "engine._partial_=maybe: use true or false"),
        (
            "engine._partial_=false",
            "engine._target_=kvarena.runners.generate.Decoder: use a kvarena.runners.generate.decoder.Decoder, with "
            "engine._partial_=true",
        ),
        ("num_workers=two", "num_workers=two: use a whole number, 1 or more"),
        ("seed=abc", "seed=abc: use a whole number"),
        ("dry_run=maybe", "dry_run=maybe: use true or false"),
        ("dry_run=1", "dry_run=1: use true or false"),
        ("grading_s=-1", "grading_s=-1: use above 0, at most 1000000.0"),
        ("grading_s=inf", "grading_s=inf: use a number, above 0, at most 1000000.0"),
        ("runs_dir=null", "runs_dir=null: use a text, one that is not empty"),
        ("output_dir=7", "output_dir=7: use a text, one that is not empty, or null"),
        ("share.of=0", "share.of=0: use 1 or more"),
        ("share.index=-1", "share.index=-1: use 0 or more"),
        ("ray.address=1", "ray.address=1: use a text, one that is not empty, or null"),
        ("difficulty=3", "difficulty=3: use a text"),
        ("levels=3", "levels=3: use keys with values or null"),
        ("levels.medium=3", "levels.medium=3: use keys with values"),
        ("levels.medium.num_nodes=many", "levels.medium.num_nodes=many: use a number"),
        ("levels.hard.num_nodes=''", "levels.hard.num_nodes=: use a number"),
        ("levels.medium.num_nodes=2.5", "task.samples.generator.num_nodes=2.5: use a whole number"),
        ("+levels.easy.colour=3", "levels.medium.colour is missing: easy has it; give it to all or to none"),
        ("~levels.hard.num_nodes", "levels.hard.num_nodes is missing: easy, medium has it; give it to all or to none"),
        ("num_draws=1e30", "num_draws=1e+30: use 1 or more, at most 10000"),
        (
            "engine.batch_size=[{_target_:builtins.dict}]",
            "engine.batch_size=[{'_target_': 'builtins.dict'}]: use a whole",
        ),
        ("model.path={_target_:os._exit}", "model.path._target_=os._exit: use a text, one that is not empty, or null"),
        ("model.revision={_target_:kvarena.runners.evaluate.main}", "model.revision._target_=kvarena.runners.evaluate"),
        ("model.path=''", "model.path=: use one that is not empty"),
        ("+colour=red", "colour=red: no such key; there are model, method, task"),
        ("~num_samples", "num_samples is missing: give num_samples=..."),
        ("~sampler", "sampler is missing: give sampler=..."),
        ("~task._target_", "use a kvarena.tasks.task.Task"),
        ("task=local", "task.path is missing: give task.path=..."),
        ("task.name=5", "task.name=5: use a text"),
        ("task.template=null", "task.template=null: use a text"),
        ("task.grader._target_=builtins.dict", "task.grader._target_=builtins.dict: use a class with __call__, as"),
        (
            "task.grader._target_=kvarena.tasks.graders.Nope",
            "task.grader._target_=kvarena.tasks.graders.Nope: cannot be",
        ),
        ("task.grader._target_=nowhere.Nope", "task.grader._target_=nowhere.Nope: no package nowhere is installed"),
        ("method=kvpress", "method.press._target_ is missing: give method.press._target_=..."),
        ("task.grader._target_=os", "task.grader._target_=os: there is no such class or function"),
        ("task.grader._target_=5", "task.grader._target_=5: use a text"),
        ("task.grader._target_=kvarena.runners.sampler.Greedy", "task.grader: no verdict on sample graph_search-"),
        (
            "sampler._target_=builtins.dict",
            "sampler._target_=builtins.dict: use a class with __call__, history, stochastic, as",
        ),
        ("model._target_=builtins.dict", "model._target_=builtins.dict: use a kvarena.runners.model"),
        ("method._target_=builtins.dict", "method._target_=builtins.dict: use a kvarena.methods.policy.Policy"),
        ("workers._target_=builtins.dict", "workers._target_=builtins.dict: use a class with device, open, as"),
        ("logger._target_=builtins.dict", "logger._target_=builtins.dict: use a class with begin, end, log, as"),
        ("attention._target_=builtins.dict", "attention._target_=builtins.dict: use a class with __call__, check, as"),
        (
            "engine._target_=builtins.dict",
            "engine._target_=builtins.dict: use a kvarena.runners.generate.decoder.Decoder",
        ),
        ("model.path=5", "model.path=5: use a text"),
        ("+method.foo=2", "method.foo=2: no such key; there are budget, page, rank"),
        ("method.budget.tokens=many", "method.budget.tokens=many: use a whole number"),
        ("method.rank=2.5", "method.rank=2.5: use a whole number"),
        ("~method.budget", "method.budget is missing: give method.budget=..."),
        ("sampler=sampling sampler.top_k=2.5", "sampler.top_k=2.5: use a whole number"),
        ("sampler=sampling sampler.temperature=nan", "sampler.temperature=nan: use a number"),
        ("sampler=sampling sampler.temperature=true", "sampler.temperature=true: use a number"),
        ("logger=wandb logger.mode=maybe", "logger.mode=maybe: use one of online, offline"),
        ("logger=wandb logger.tags=a", "logger.tags=a: use a list, each a text"),
        ("logger=wandb logger.tags=[1]", "logger.tags=[1]: use a list, each a text"),
    ],
)
def test_what_is_of_another_type_is_refused_by_its_name(override, message):
    config = compose("evaluate", override.split())
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        build(config, "vase_dkv")
    assert "\n" not in str(error.value)


OUTER = [name for name in options("method") if "/method@of:" in (CONF / f"method/{name}.yaml").read_text()]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [*((name, "quest.Quest") for name in OUTER if name != "twilight"), ("twilight", "random.Random")],
)
def test_a_method_around_one_of_another_kind_is_refused_by_its_class(outer, inner):
    """Twilight is around selections; the others around evictions, whose budget they have where they are given none."""
    config = compose("evaluate", [f"method={outer}", f"method@method.of={inner.partition('.')[0]}"])
    kind = "Selection" if outer == "twilight" else "Eviction"
    line = f"method.of._target_=kvarena.methods.{inner}: use a kvarena.methods.policy.{kind}"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        build(config, outer)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("num_samples=2.0", "num_samples", 2),
        ("max_tokens=2e1", "max_tokens", 20),
        ("compression.ratio=4", "compression.ratio", 4),
        ("compression.ratio=4.0", "compression.ratio", 4.0),
        ("grading_s=1", "grading_s", 1),
        ("method.budget.recent=8.0", "method.budget.recent", 8),
    ],
)
def test_a_whole_number_may_be_written_otherwise_and_any_other_stays(override, key, value):
    found = OmegaConf.select(DictConfig(build(compose("evaluate", [override]), "vase_dkv").config), key)
    assert (found, type(found)) == (value, type(value))


def test_a_key_that_cannot_be_resolved_yet_is_left_to_what_says_why():
    with pytest.raises(ValueError, match=r"^difficulty=harder: task graph_search has easy, medium, hard$"):
        build(compose("evaluate", ["difficulty=harder"]), "vase_dkv")


class Plain:
    """Of another package: what it does not annotate is not asked."""

    def __init__(self, count: int, other=None, **more: object) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outside(Section):
    thing: Plain


@pytest.fixture
def outside(monkeypatch):
    """outside(**arguments): the section checked, of a thing with these arguments."""
    module = ModuleType("outside")
    module.Plain = Plain
    monkeypatch.setitem(sys.modules, "outside", module)
    return lambda **thing: checked(Outside, DictConfig({"thing": {"_target_": "outside.Plain", **thing}}))["thing"]


def test_of_a_class_of_another_package_only_what_is_annotated_is_asked(outside):
    there = {"_target_": "outside.Plain", "other": [{}], "more": "x"}
    assert outside(count=2.0, **there) == there | {"count": 2}
    with pytest.raises(ValueError, match=r"^thing.count=two: use a whole number$"):
        outside(count="two")
    with pytest.raises(ValueError, match=r"^thing.count is missing: give thing.count=...$"):
        outside()
    with pytest.raises(ValueError, match=r"^thing.other.nested\[0\].count=x: use a whole number$"):
        outside(count=1, other={"nested": [{"_target_": "outside.Plain", "count": "x"}]})
