"""Every experiment composes, and names methods and tasks that exist."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from kvarena.analysis.published import published

CONF = Path(__file__).parents[1] / "conf"
NAMES = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
TIMED = [name for name in NAMES if name.startswith("throughput")]  # by kvarena-benchmark


def composed(name):
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        primary = "benchmark" if name in TIMED else "evaluate"
        return compose(primary, overrides=[f"experiment={name}"], return_hydra_config=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_composes_and_sweeps_over_what_exists(name):
    params = composed(name).hydra.sweeper.params
    for group in ("method", "task"):
        for choice in filter(None, params.get(group, "").split(",")):
            assert (CONF / group / f"{choice}.yaml").is_file()
    assert {"full", "vase_dkv"} <= set(params["method"].split(","))


def test_an_experiment_of_fidelity_has_the_last_word_on_its_keys():
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        named = compose("fidelity", overrides=["experiment=real_fidelity", "task=gsm8k"])
        plain = compose("fidelity", overrides=["texts=texts.jsonl"])
    assert (named.num_samples, named.runs_dir, named.task.name) == (64, "runs/real_fidelity", "gsm8k")
    assert (plain.num_samples, plain.runs_dir, plain.task.name) == (None, "runs/fidelity", "local")


@pytest.mark.parametrize("name", ["quickstart", "embedded", "pilot_embedded", "pilot_embedded_ratios"])
def test_an_embedded_experiment_has_its_ablation_and_a_difficulty(name):
    config = composed(name)
    assert "evict_large" in config.hydra.sweeper.params["method"].split(",")
    assert config.difficulty in config.levels


def test_the_pilot_is_two_sweeps_over_one_folder():
    """Ratios 2, 3 and 4 on six tasks, all others on two of them; what is in both is a method of the first."""
    first, second = composed("pilot_embedded"), composed("pilot_embedded_ratios")
    names = [set(config.hydra.sweeper.params["method"].split(",")) for config in (first, second)]
    assert (len(names[0]), len(names[1]), names[1] <= names[0]) == (22, 14, True)
    assert {"random", "random_prompt", "streaming", "oracle"} <= names[1]
    for config in (first, second):
        config.hydra = {}
    assert first == second
    assert (first.num_samples, first.num_draws, first.runs_dir) == (256, 2, "runs/pilot_embedded")


def test_throughput_is_timed_at_the_budgets_of_the_paper():
    config = composed("throughput_14b")
    assert (config.batch_size, config.positions, config.steps) == (16, [256, 6400, 10496, 14592], 1024)
    assert config.hydra.sweeper.params["compression.tokens"] == "2048,4096,6144"
    assert config.shape.hidden_size == 5120


PAPER = {"full", "snapkv", "rkv_vase", "curdkv_vase", "vase_dkv", "vase_attnv", "quest"}
CONTROLS = {"random", "random_prompt", "streaming", "oracle"}
SIX = "aime25,aime26,hmmt25,gpqa_diamond,livecodebench,math500"


@pytest.mark.parametrize(
    ("name", "model", "tasks", "budgets"),
    [
        ("table_main_4b", "qwen3_4b", SIX, None),
        ("table_main_14b", "qwen3_14b", SIX, None),
        ("budget_sweep", "qwen3_14b", "aime26,hmmt25,gpqa_diamond", "2048,4096,6144"),
    ],
)
def test_tables_of_the_paper(name, model, tasks, budgets):
    """Ratio 4 of the tasks' lengths is the budget of the main tables (tests/tasks/test_benchmarks.py)."""
    config = composed(name)
    params = config.hydra.sweeper.params
    assert (config.model.name, params["task"], params.get("compression.tokens")) == (model, tasks, budgets)
    assert set(params["method"].split(",")) == PAPER | CONTROLS
    assert (config.compression.ratio, config.num_samples, config.max_tokens) == (4, None, 32768)
    assert (config.num_draws, config.sampler.temperature) == (16, 0.6)


def test_the_pilot_on_gsm8k_is_the_published_one():
    config = composed("pilot_gsm8k")
    ours = set(config.hydra.sweeper.params["method"].split(","))
    theirs = published().query("task == 'gsm8k'")
    assert ours == set(theirs["method"]) | CONTROLS
    assert (config.num_samples, config.num_draws, config.max_tokens, config.sampler.top_k) == (500, 4, 4096, 0)
    assert config.task.dense_length / config.compression.ratio == 512
    assert theirs["tokens"].dropna().unique().tolist() == [512]


REAL = PAPER | CONTROLS | {"rkv", "h2o", "tova", "keydiff", "evict_large", "evict_random"}


@pytest.mark.parametrize("name", ["real_gsm8k", "real_math500", "real_fidelity"])
def test_a_study_on_real_weights_is_cut_short_with_a_whole_table(name):
    """All methods at one ratio come before the next; a round leaves 32 recent tokens and comes every 16."""
    config = composed(name)
    params = list(config.hydra.sweeper.params.items())[-2:]
    assert params[0] == ("compression.ratio", "4,2,8")
    assert params[1][0] == "method"
    assert sorted(params[1][1].split(",")) == sorted(REAL)
    assert (config.compression.recent, config.compression.interval, config.model.name) == (32, 16, "qwen2_5_coder_1_5b")
    assert config.sampler._target_.endswith("Greedy")


def test_budgets_on_real_weights_are_of_the_models_own_chains():
    lengths = {name: composed(name).task.dense_length for name in ("real_gsm8k", "real_math500", "real_long")}
    assert lengths == {"real_gsm8k": 400, "real_math500": 560, "real_long": 6000}


@pytest.mark.parametrize(
    ("method", "slots"),
    [
        ("snapkv_sample", 0),
        ("snapkv_values_32nd", 16),
        ("snapkv_values_16th", 32),
        ("snapkv_values_eighth", 64),
        ("snapkv_values_half", 256),
        ("vase_attnv_half", 256),
    ],
)
def test_value_slots_of_the_pilot(method, slots):
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        config = compose("evaluate", ["experiment=pilot_gsm8k", f"method={method}", "compression.tokens=512"])
    policy = instantiate(config.method)
    assert (policy.n_large, policy.sample) == (slots, method in ("snapkv_sample", "vase_attnv_half"))
