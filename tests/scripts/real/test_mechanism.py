"""What losing the largest value ranges does, on a tiny model, and the whole command on the stand-in."""

import csv
import json
from pathlib import Path
from statistics import fmean

import pytest
import torch
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.methods.budget import Budget
from kvarena.methods.evict_large import EvictLarge
from kvarena.runners.fidelity import fidelity
from kvarena.runners.generate import Request

CHAIN = torch.randint(1, 60, (80,), generator=torch.Generator().manual_seed(0)).tolist()
CUT, COUNT = 48, 5


@pytest.fixture
def real(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/real"))


def test_one_masked_pass_is_the_decode_loop_after_a_loss(real):
    from losing import DRAWS, LEFT, RECENT, SINKS, both

    assert (len(CHAIN) - CUT, DRAWS) == (LEFT, 3)
    model = build_tiny_model("llama").float()
    largest, random = both(model, CHAIN, CUT, COUNT, seed=0)
    budget = Budget(tokens=CUT - COUNT, recent=RECENT, sinks=SINKS, interval=0, prefill=True)
    (looped,) = fidelity(model, None, [(CHAIN[:CUT], CHAIN[CUT:])], EvictLarge(budget=budget))
    assert largest == pytest.approx(fmean(looped.kl), rel=1e-3)
    assert largest > 1e-4
    assert random not in (0, largest)


def test_the_largest_go_and_the_recent_and_the_sinks_stay(real):
    from losing import Without, largest

    values = torch.zeros(1, 40, 4)
    values[0, :, 0] = torch.arange(40)  # ranges grow with the position
    values[0, 2, 0] = 100.0  # a sink
    lost = Without(cut=32, count=3, scores=largest).lost(values)
    assert lost[0].nonzero().flatten().tolist() == [13, 14, 15]


def test_a_ratio_is_over_texts(real):
    import numpy as np
    from losing import times_other

    times, low, high = times_other(np.array([2.0, 8.0]), np.array([1.0, 1.0]))
    assert (times, low, high) == (pytest.approx(4), pytest.approx(4 / high * 4), pytest.approx(16 / low))


def test_texts_are_cut_where_they_have_begun(real):
    from losing import cut_at

    texts = [Request("a", 0, CHAIN[:20], CHAIN[20:]), Request("b", 0, CHAIN[:50], CHAIN[50:])]
    assert cut_at(texts, 40) == [Request("a", 0, CHAIN[:40], CHAIN[40:])]
    with pytest.raises(ValueError, match="--cut=70"):
        cut_at(texts, 70)


def test_how_much_less_than_the_first_tokens_others_have(real):
    from first_tokens import share_below

    quantity = torch.tensor([[[1.0, 4.0, 2.0, 2.0, 9.0, 3.0, 8.0, 7.0, 0.5, 6.0]]], dtype=torch.float64)
    assert share_below(quantity).tolist() == [[[0.1, 0.5, 0.2, 0.2, 0.9, 0.4, 0.8, 0.7]]]


def test_the_command_writes_its_tables(real, standin, tmp_path):
    import mechanism

    chains = [{"id": str(i), "prompt_ids": CHAIN[: 10 + i], "completion_ids": CHAIN[10 + i :] * 2} for i in range(3)]
    (tmp_path / "chains.jsonl").write_text("".join(json.dumps(chain) + "\n" for chain in chains))
    few = ["--texts=2", "--max-tokens=4", "--traced=1", "--device=cpu"]
    mechanism.main([str(standin), str(tmp_path / "chains.jsonl"), str(tmp_path / "out"), *few])
    tables = {file.stem: list(csv.DictReader(file.open())) for file in (tmp_path / "out").glob("*.csv")}
    assert [row["layer"] for row in tables["values"]] == ["0", "1", "2"]
    assert all(0.005 < float(row["top_1_percent"]) < float(row["top_10_percent"]) < 1 for row in tables["values"])
    assert [(row["quantity"], row["position"]) for row in tables["first"]] == [
        (quantity, str(position)) for quantity in ("leverage", "key", "value") for position in range(8)
    ]
    assert all(float(row["lowest"]) <= float(row["in_lowest_tenth"]) <= 1 for row in tables["first"])
    assert all(float(row["below"]) > 0 or row["lowest"] == "1.0" for row in tables["first"])
    assert [(row["lost"], row["texts"]) for row in tables["lost"]] == [("0.01", "2"), ("0.05", "2"), ("0.1", "2")]
    assert all(float(row["times_low"]) < float(row["times"]) < float(row["times_high"]) for row in tables["lost"])
    assert [row["victims"] for row in tables["endings"]] == ["none", *["largest", "random"] * 3]
    assert {row["truncated"] for row in tables["endings"]} == {"1.0"}
    assert {row["method"] for row in tables["overlap"]} == {"vase_dkv", "vase_attnv", "curdkv_vase", "random"}
    assert all(0 <= float(row["overlap"]) <= 1 for row in tables["overlap"])
