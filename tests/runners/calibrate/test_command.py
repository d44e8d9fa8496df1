"""kvarena-calibrate, on the reasoner; and runs that store by what it has learned."""

import contextlib
import json
import sys

import pandas as pd
import pytest
import torch
from kvarena.contract.tiny_calibration import tiny_calibration
from kvarena.runners import evaluate
from kvarena.runners.cache import read_calibration
from kvarena.runners.calibrate import as_safetensors
from kvarena.runners.calibrate.command import main

DENSE = ["difficulty=easy", "num_samples=3", "max_tokens=12", "device=cpu", "engine.batch_size=3"]


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["kvarena", *DENSE, *words])
    evaluate.main()


@pytest.fixture(scope="module")
def recorded(runs_in):
    """Two runs of dense, and what was learned of them."""
    dense = [*DENSE, "method=full"]
    folder = runs_in("calibrate", [*dense, "output_dir=dense"], [*dense, "output_dir=other", "task=addition"])
    with contextlib.chdir(folder):
        assert main(["reasoner", "dense", "other", "--texts=2", "--device=cpu", "--parts", "8"]) == 0
    return folder


@pytest.fixture
def dense(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    return recorded


MADE = "cache.calibration=calibrations/reasoner.safetensors"


def test_a_calibration_says_what_it_is_of(dense):
    made = read_calibration("calibrations/reasoner.safetensors")
    assert made.tensors["keys.basis"].shape == made.tensors["values.basis"].shape == (8, 4, 64, 64)
    assert made.tensors["keys.codebook8"].shape == (8, 8, 255, 8)
    facts, header = made.facts, json.loads((dense / "dense/run.json").read_text())
    assert (facts["model"], facts["texts"]) == ("reasoner", 4)
    assert [each["task"] for each in facts["runs"]] == ["graph_search", "addition"]
    assert facts["tokens"] > 4 * 12
    assert facts["fingerprints"]["weights"] == header["fingerprints"]["weights"]
    table = pd.read_csv(dense / "calibrations/reasoner.csv")
    assert len(table) == 8 * 2 * (12 + 16)
    assert table[table["rank"] == 64].query("heads == 'each'").share.tolist() == [1.0] * 16
    assert (dense / "calibrations/reasoner.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_by_the_calibration_and_what_its_header_says(dense, monkeypatch, capsys):
    run(
        monkeypatch,
        "method=full",
        "cache=low_rank",
        "cache.keys.rank=64",
        "cache.values.rank=64",
        MADE,
        "output_dir=rank64",
    )
    header = json.loads((dense / "rank64/run.json").read_text())
    assert header["labels"]["cache"] == "rank64"
    assert header["fingerprints"]["calibration"].keys() == {"reasoner.safetensors"}
    said = [
        [json.loads(line)["token_ids"] for line in (dense / f"{name}/records.jsonl").open()]
        for name in ("rank64", "dense")
    ]
    assert sorted(said[0]) == sorted(said[1])
    run(
        monkeypatch,
        "method=full",
        "cache=codebook",
        "cache.keys.parts=8",
        "cache.values.parts=8",
        MADE,
        "dry_run=true",
    )
    assert "0 of 3 done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["another", "dense"], "the run dense is of model reasoner, give reasoner, or the folder of its weights"),
        (["reasoner", "nowhere"], "no run.json there"),
        (["reasoner", "dense", "other", "dense"], "dense and dense are the same run: give each once"),
        (["reasoner", "dense", "--tokens=40"], "dense: 38 tokens, fewer than the 64 dimensions of a head"),
        (["reasoner", "dense", "--tokens=100"], "fewer than 255 centroids; give more, or --parts without any"),
        (["reasoner", "dense", "--parts", "24"], "--parts=24: a head of 64 cannot be parted so; use divisors"),
        (["reasoner", "dense", "--output=x.bin"], "--output=x.bin: give it the ending .safetensors"),
    ],
    ids=["model", "run", "twice", "dimensions", "centroids", "parts", "output"],
)
def test_what_is_wrong_is_one_line(dense, capsys, words, said):
    assert main([*words, "--device=cpu"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kvarena-calibrate: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cache=low_rank", "cache.calibration=null"], "cache.calibration=null: this cache is learned"),
        (["cache=low_rank", "cache.calibration=x.safetensors"], "cache.calibration=x.safetensors is not there"),
        (
            ["cache=low_rank", "cache.calibration=tiny"],
            "model tiny has no calibration here: kvarena-calibrate tiny RUN",
        ),
        (["cache=low_rank", "cache.calibration=broken.safetensors"], "broken.safetensors is no calibration of"),
        (["cache=low_rank", "cache.keys.rank=65"], "head size 64: rank=65 of low_rank is above it"),
        (["cache=codebook", "cache.keys.parts=16", MADE], "cache.keys.parts=16: "),
        (
            ["cache=low_rank", "cache.calibration=TINY"],
            "is of 3 layers and 2 KV heads of 16, the model has 8 and 4 of 64",
        ),
        (["cache=low_rank", "cache.calibration=foreign.safetensors"], "is of other weights (model-00001-of-00002"),
        (["cache=fp8", "+cache.calibration=reasoner"], "nothing of cache=fp8 is learned, use null"),
    ],
    ids=["none", "absent", "unshipped", "broken", "rank", "parts", "shape", "weights", "unused"],
)
def test_a_cache_that_cannot_be_is_one_line(dense, monkeypatch, capsys, words, said):
    (dense / "broken.safetensors").write_bytes(b"nothing")
    foreign(dense)
    words = [word.replace("TINY", tiny_calibration()) for word in words]
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "method=full", *words)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def foreign(folder):
    """The same, but for what it says of the weights."""
    made = read_calibration(str(folder / "calibrations/reasoner.safetensors"))
    weights = made.facts["fingerprints"]["weights"] | {"model-00001-of-00002.safetensors": "0" * 64}
    facts = made.facts | {"fingerprints": {"weights": weights}}
    (folder / "foreign.safetensors").write_bytes(as_safetensors(made.tensors, facts))


def test_another_calibration_of_the_same_name_is_another_run(dense, monkeypatch, capsys):
    (dense / "own.safetensors").write_bytes((dense / "calibrations/reasoner.safetensors").read_bytes())
    words = ["method=full", "cache=low_rank", "cache.calibration=own.safetensors", "output_dir=again"]
    run(monkeypatch, *words)
    made = read_calibration("own.safetensors")
    changed = dict(made.tensors) | {"keys.basis": made.tensors["keys.basis"].flip(-1).contiguous()}
    (dense / "own.safetensors").write_bytes(as_safetensors(changed, made.facts))
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *words, "num_draws=1", "num_samples=4")
    assert "calibration changed since this run began (own.safetensors)" in capsys.readouterr().err


def test_a_basis_that_was_rounded_is_orthonormal_again(dense):
    made = read_calibration("calibrations/reasoner.safetensors")
    basis = made.of("keys", "basis", 3, slice(1, 3), torch.device("cpu"))
    torch.testing.assert_close(basis.mT @ basis, torch.eye(64).expand(2, 64, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(basis, made.tensors["keys.basis"][3, 1:3].float(), atol=5e-3, rtol=0)
