"""Runs of an earlier tree stay what they are: two of the pilot are built, verified, graded and reported by this one.

Their archive has no texts, but for the answers.
"""

import tarfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_method, instantiate
from kvarena.analysis import report
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.runners import attention, evaluate, generate, grade, graphs, sampler, verify
from kvarena.runners.job import build
from kvarena.runners.job.identity import differences, identity
from kvarena.runners.model import Checkpoint
from kvarena.runners.record import RunFolder

ARCHIVE = Path(__file__).parents[1] / "analysis/results/pilot_embedded.tar.xz"
DENSE, VASE = "graph_search-medium/reasoner/full-b89f46", "graph_search-medium/reasoner/vase_dkv-176-452b44"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pilot")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, [entry for entry in archive if entry.name.startswith((DENSE, VASE))], filter="data")
    return folder


def test_what_a_recorded_config_names_is_built(root):
    dense, vase = (RunFolder(path=root / name).run()["config"] for name in (DENSE, VASE))
    assert get_method(dense["engine"]["_target_"]) is graphs.GraphDecoder
    assert instantiate(vase["engine"]).func is generate.Decoder
    assert instantiate(vase["model"]) == Checkpoint(name="reasoner", path=None, dtype="float32", revision=None)
    assert (instantiate(vase["attention"]), instantiate(vase["sampler"])) == (attention.Own(), sampler.Greedy())
    policy = instantiate(vase["method"])
    assert isinstance(policy, VaSEDKV)
    assert (policy.rank, policy.budget.tokens, policy.budget.recent, policy.budget.interval) == (20, 176, 16, 16)


@pytest.mark.parametrize(("name", "num_records"), [(DENSE, 256), (VASE, 512)])
def test_it_is_verified(root, name, num_records):
    """Identity, samples, template and prompts are as recorded; of the records the tokens are gone, and nothing else."""
    folder = RunFolder(path=root / name)
    lines = [f"record {record.sample}, draw {record.draw}: num_tokens changed" for record in folder.records()]
    assert len(lines) == num_records
    assert list(verify.mismatches(folder)) == lines


def test_keys_that_came_later_leave_its_identity_alone(root):
    run = RunFolder(path=root / DENSE).run()
    later = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "suppress_tokens": []}
    config = run["config"] | {"sampler": run["config"]["sampler"] | later}
    assert identity(run["labels"], config, 1) == run["identity"]
    config["sampler"]["repetition_penalty"] = 1.05
    assert identity(run["labels"], config, 1) != run["identity"]


@pytest.mark.parametrize(("name", "num_right"), [(DENSE, 256), (VASE, 66)])
def test_its_answers_are_judged_as_they_were(root, name, num_right, capsys):
    folder = RunFolder(path=root / name)
    before = folder.records()
    said = [replace(record, completion=f"</think> {record.answer}") for record in before]
    folder.rewrite([replace(record, score=None, answer="", note="") for record in said])
    assert grade.main([str(root / name)]) == 0
    assert f"{num_right} x ungraded -> right" in capsys.readouterr().out
    assert folder.records() == [replace(record, score_unfinished=record.score) for record in said]
    folder.rewrite(before)


def test_they_are_reported(root, tmp_path):
    """As in analysis/results/pilot_embedded.csv."""
    assert report.main([str(root), "--output", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "results.csv").set_index("method")
    columns = ["accuracy", "accuracy_low", "accuracy_high", "loop_rate", "truncation_rate", "mean_length"]
    assert table.loc["vase_dkv", columns].round(4).tolist() == [0.1289, 0.1029, 0.1636, 0.3906, 0.5137, 802.0312]
    assert table.loc["full", columns].round(4).tolist() == [1.0, 0.9857, 1.0, 0.0, 0.0, 561.5352]


def command(run: dict, runs_dir: Path) -> list[str]:
    """The overrides that made a run of the pilot, in today's words."""
    config, labels = run["config"], run["labels"]
    engine = "graphs" if config["engine"]["_target_"].endswith("GraphDecoder") else "eager"
    names = ("num_samples", "num_draws", "device", "difficulty")
    ratio = [] if labels["tokens"] is None else [f"compression.ratio={labels['ratio']}"]
    return [
        *(f"{name}={labels[name]}" for name in ("method", "task", "model")),
        *(f"{name}={config[name]}" for name in names),
        *ratio,
        f"engine={engine}",
        f"engine.batch_size={config['engine']['batch_size']}",
        f"runs_dir={runs_dir}",
    ]


def found_again(folder: Path, root: Path) -> None:
    """Today's command has the identity of then by the rule of then, and ends in the folder."""
    run = RunFolder(path=folder).run()
    overrides = command(run, root)
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        job, more = (
            build(compose("evaluate", overrides=[*overrides, *other]), run["labels"]["method"])
            for other in ([], ["num_samples=300", "engine.batch_size=3"])
        )
    asked = {"labels": vars(job.labels), "config": job.config}
    assert differences(run, asked) == []
    assert identity(asked["labels"], asked["config"], version=1) == run["identity"]
    assert job.folder == more.folder == folder


@pytest.mark.parametrize("name", [DENSE, VASE])
def test_todays_command_finds_it_and_so_does_one_that_wants_more(root, name):
    found_again(root / name, root)


def test_todays_command_has_nothing_left_to_do(root, monkeypatch, capsys):
    run = RunFolder(path=root / VASE).run()
    for less in ([], ["num_samples=5", "num_draws=1"]):
        monkeypatch.setattr("sys.argv", ["kvarena", *command(run, root), *less])
        evaluate.main()
        total = 5 if less else 512
        assert f"{total} of {total} done, {root / VASE}" in capsys.readouterr().out
    assert RunFolder(path=root / VASE).run() == run


@pytest.mark.slow
def test_all_runs_of_the_pilot_are_found_again(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    folders = sorted(path.parent for path in tmp_path.rglob("run.json"))
    assert len(folders) == 462
    for folder in folders:
        found_again(folder, tmp_path)


@pytest.mark.slow
def test_all_runs_of_the_pilot_are_as_recorded_but_for_their_tokens(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    for file in sorted(tmp_path.rglob("run.json")):
        lines = list(verify.mismatches(RunFolder(path=file.parent)))
        assert [line for line in lines if not line.endswith(": num_tokens changed")] == []
