import numpy as np
import pandas as pd
import pytest
import torch
from kvarena.analysis.load import load
from kvarena.analysis.traces import diversity, jaccard, value_ranges
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.snapkv import SnapKV
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy
from safetensors.torch import save_file


@pytest.fixture
def traced(write, tmp_path):
    """Two draws of a problem; two layers, two heads."""
    folder = write("a", [], samples=1, draws=2).path / "trace"
    folder.mkdir()
    values = torch.tensor([[[0.0, 1.0], [0.0, 3.0]], [[-1.0, 1.0], [2.0, 2.0]]])
    for draw, kept in enumerate(([[0, 1, 2], [0, 1, 3]], [[0, 1, 2], [4, 5, 6]])):
        tensors = {"0/0/values": values.bfloat16(), "0/1/values": values.bfloat16() * 2, "1/0/values": values * 100}
        tensors |= {"0/0/kept": torch.tensor(kept), "1/0/kept": torch.tensor([[1, 2, 3], [1, 2, 3]])}
        save_file(tensors, folder / f"s-0-{draw}.safetensors")
    return load(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 2, 3], [2, 3, 4], 0.5), ([1], [1], 1), ([1], [2], 0), ([-1, -1, 0, 2], [0, 1, 2, 3], 0.5)],
    ids=["half", "same", "none", "fewer_in_one"],
)
def test_overlap(one, other, expected):
    assert jaccard(np.array(one), np.array(other)) == expected


def test_what_a_decoder_writes_is_read(model, write, tmp_path):
    """Two rounds, three layers of two heads that keep unlike numbers of slots."""
    of = SnapKV(budget=Budget(tokens=24, recent=8, sinks=0, interval=8))
    decoder = Decoder(
        model=model,
        policy=AdaKV(budget=of.budget, of=of),
        sampler=Greedy(),
        max_tokens=20,
        longest_prompt=24,
        batch_size=1,
        trace=1,
        output_dir=write("a", [], samples=1).path,
    )
    list(decoder.run([Request("s", 0, list(range(24)))]))
    assert value_ranges(load(tmp_path))["layer"].tolist() == [0, 1, 2]
    table = diversity(load(tmp_path))
    assert table[["between", "round"]].values.tolist() == [["heads", 0], ["heads", 1]]
    # the eight recent ones of 24 at least, and not all
    assert table["overlap"].between(8 / 40, 0.99).all()


def test_value_ranges_before_any_eviction(traced):
    table = value_ranges(traced)
    assert table[["model", "layer"]].values.tolist() == [["reasoner", 0], ["reasoner", 1]]
    assert table["0.5"].tolist() == [1.5, 3.0]  # of 1, 3, 2, 0
    assert table["0.25"].tolist() == [0.75, 1.5]


def test_value_ranges_are_not_of_what_was_decoded(traced, write, tmp_path):
    folder = write("b", [], samples=1, cache="int2").path / "trace"
    folder.mkdir()
    save_file({"0/0/values": torch.tensor([[[0.0, 100.0]]])}, folder / "s-0-0.safetensors")
    pd.testing.assert_frame_equal(value_ranges(load(tmp_path)), value_ranges(traced))


def test_diversity_between_heads_and_draws(traced):
    table = diversity(traced)
    assert table[["between", "round", "overlap"]].values.tolist() == [
        ["heads", 0, 0.25],  # 1/2 in one draw, 0 in the other
        ["heads", 1, 1.0],
        ["draws", 0, 0.5],
        ["draws", 1, 1.0],
    ]


def test_runs_without_traces(write, tmp_path):
    write("a", [], samples=1)
    assert value_ranges(load(tmp_path)).empty
    assert diversity(load(tmp_path)).empty
