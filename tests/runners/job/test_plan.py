"""A dry run, without a network: what it says of an experiment whose model and data are on the hub."""

import pytest
from hydra import compose, initialize_config_module
from kvarena.runners.evaluate import evaluate
from kvarena.runners.job import build
from kvarena.tasks import reach

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def dry_run(monkeypatch, tmp_path, capsys):
    """dry_run(*overrides): the outcome, and what was printed; the hub is not asked."""
    monkeypatch.setattr(reach, "_answers", lambda: pytest.fail("the hub was asked"))
    reach.prepare.cache_clear()

    def run(*overrides: str):
        with initialize_config_module("kvarena.conf", version_base="1.3"):
            config = compose("evaluate", ["dry_run=true", f"runs_dir={tmp_path}", *overrides])
        outcome = evaluate(build(config, "vase_dkv"))
        assert list(tmp_path.iterdir()) == []
        return outcome, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("task", "rows", "tokens"),
    [
        ("aime25", 30 * 16, 30 * 16 * 16384),
        ("aime26", 30 * 16, 30 * 16 * 16384),
        ("hmmt25", 60 * 16, 60 * 16 * 16384),
        ("gpqa_diamond", 198 * 8, 198 * 8 * 8192),
        ("livecodebench", 383 * 8, 383 * 8 * 8192),
        ("math500", 500 * 8, 500 * 8 * 4096),
    ],
)
def test_neither_data_nor_model_are_fetched(dry_run, task, rows, tokens):
    outcome, said = dry_run(f"task={task}", "model=qwen3_4b")
    assert (outcome.status, outcome.tokens, outcome.device) == ("planned", tokens, H100)
    assert f": 0 of {rows} done, " in said
    assert said.splitlines()[0].endswith(f"; not fetched: data set of {task}, model Qwen/Qwen3-4B")
    assert f" GPU-hours on an {H100} at 2200 tokens/s (" in outcome.reason


def test_a_model_without_a_shape_of_its_own_and_a_part_of_the_data(dry_run):
    outcome, _ = dry_run("task=gsm8k", "model=r1_distill_qwen_7b", "num_samples=500", "num_draws=4", "max_tokens=100")
    assert outcome.tokens == 500 * 4 * 100


def test_what_can_be_known_is_still_refused(dry_run):
    with pytest.raises(ValueError, match=r"^num_samples=31: task aime25 has 30$"):
        dry_run("task=aime25", "model=qwen3_4b", "num_samples=31")
    with pytest.raises(ValueError, match=r"^engine=graphs needs a CUDA device"):
        dry_run("task=aime25", "model=qwen3_4b", "engine=graphs", "device=cpu")


def test_hours_of_a_gpu_are_not_those_of_a_cpu(dry_run):
    outcome, _ = dry_run("task=aime25", "model=qwen3_4b", "device=cpu")
    assert (outcome.hours, outcome.device) == (None, "")
    assert outcome.reason.endswith("GPU-hours unknown: no speed was measured yet")


def test_what_is_here_is_looked_at(dry_run):
    outcome, said = dry_run("num_samples=2", "difficulty=easy")
    assert "not fetched" not in said
    assert outcome.tokens < 2 * 249
