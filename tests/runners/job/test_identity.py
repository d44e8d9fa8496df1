"""Which configs are one run, by the rule of today and by the first."""

import hashlib
import json

import hydra
import pytest
from kvarena.runners.job import identity as rule
from kvarena.runners.job.identity import differences, identity
from omegaconf import OmegaConf

LABELS = {"task": "t", "method": "snapkv", "ratio": 2, "tokens": 58}
CONFIG = {
    "num_samples": 3,
    "num_draws": 1,
    "seed": 0,
    "runs_dir": "runs",
    "compression": {"ratio": 2, "tokens": 58},
    "sampler": {"_target_": "x.Sampling", "temperature": 0.6},
    "engine": {"_target_": "x.Decoder", "batch_size": 32, "look": 8},
    "method": {"_target_": "x.SnapKV", "layers": [1, 2]},
}


def changed(**parts) -> dict:
    return {
        key: value | parts.get(key, {}) if isinstance(value, dict) else parts.get(key, value)
        for key, value in CONFIG.items()
    }


@pytest.mark.parametrize(
    "other",
    [
        {"num_samples": None},
        {"num_draws": 4},
        {"engine": {"batch_size": 7, "look": 1}},
        {"engine": {"narrow": True, "prompts_at_once": 4}},
        {"runs_dir": "elsewhere"},
        {"compression": {"ratio": 2.0}},
        {"seed": 0.0},
        {"method": {"layers": [1.0, 2]}},
    ],
)
def test_a_run_may_grow_and_equal_numbers_are_one(other):
    assert identity(LABELS, changed(**other)) == identity(LABELS | {"ratio": 2.0}, CONFIG)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"sampler": {"temperature": 0.8}}, "sampler.temperature: 0.6 there, 0.8 asked"),
        ({"seed": 1}, "seed: 0 there, 1 asked"),
        ({"engine": {"_target_": "x.GraphDecoder"}}, "engine._target_: x.Decoder there, x.GraphDecoder asked"),
        ({"method": {"smooth": None}}, "method.smooth: nothing there, null asked"),
    ],
)
def test_what_differs_is_named_with_both_values(other, said):
    there, asked = ({"labels": LABELS, "config": config} for config in (CONFIG, changed(**other)))
    assert identity(LABELS, asked["config"]) != identity(LABELS, CONFIG)
    assert differences(there, asked) == [said]


def test_labels_are_named_where_configs_are_equal():
    there, asked = ({"labels": LABELS | {"task": task}, "config": CONFIG} for task in ("t", "u"))
    assert differences(there, asked) == ["task: t there, u asked"]


def test_the_first_rule_takes_the_config_as_it_is_written():
    """sha256 of labels and config, but for what is volatile, with sorted keys."""
    kept = {key: value for key, value in CONFIG.items() if key != "runs_dir"}
    text = json.dumps([LABELS, kept], sort_keys=True)
    assert identity(LABELS, CONFIG, version=1) == hashlib.sha256(text.encode()).hexdigest()
    assert identity(LABELS, changed(num_samples=4), version=1) != identity(LABELS, CONFIG, version=1)


@pytest.mark.parametrize("version", [1, 2])
def test_a_key_that_came_later_means_what_was_done_before(monkeypatch, version):
    monkeypatch.setattr(rule, "ADDED", {"sampler.penalty": 1.0, "cache": {"_target_": "x.Plain"}})
    later = changed(sampler={"penalty": 1}) | {"cache": {"_target_": "x.Plain"}}
    assert identity(LABELS, later, version) == identity(LABELS, CONFIG, version)
    other = changed(sampler={"penalty": 1.2})
    assert identity(LABELS, other, version) != identity(LABELS, CONFIG, version)
    assert differences({"labels": LABELS, "config": CONFIG}, {"labels": LABELS, "config": other}) == [
        "sampler.penalty: nothing there, 1.2 asked"
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_a_plain_cache_is_what_there_was_before(version):
    """As conf/ composes it; another cache, and a budget in bytes, are other runs, whatever their labels say."""
    with hydra.initialize_config_module("kvarena.conf", version_base=None):
        plain, fp8 = (hydra.compose("evaluate", [f"cache={name}"]) for name in ("plain", "fp8"))
    plain, fp8 = (OmegaConf.to_container(config.cache) for config in (plain, fp8))
    compression = CONFIG["compression"] | {"bytes": None}
    now = CONFIG | {"cache": plain, "compression": compression}
    assert identity(LABELS | {"cache": "plain"}, now, version) == identity(LABELS, CONFIG, version)
    others = [CONFIG | {"cache": fp8}, CONFIG | {"compression": compression | {"bytes": 0.5}}]
    others.append(CONFIG | {"cache": plain | {"residual": 4}})
    assert len({identity(LABELS, each, version) for each in (CONFIG, *others)}) == 4
    there, asked = ({"labels": LABELS, "config": config} for config in (CONFIG, now | {"cache": fp8}))
    assert "cache.keys._target_: nothing there, kvarena.kernels.pack.Fp8 asked" in differences(there, asked)
