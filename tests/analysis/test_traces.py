import pytest
import torch
from kvarena.analysis.load import load
from kvarena.analysis.traces import diversity, overlap, value_ranges
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


def test_overlap():
    assert overlap([1, 2, 3], [2, 3, 4]) == 0.5
    assert overlap([1], [1]) == 1
    assert overlap([1], [2]) == 0


def test_value_ranges_before_any_eviction(traced):
    table = value_ranges(traced)
    assert table[["model", "layer"]].values.tolist() == [["reasoner", 0], ["reasoner", 1]]
    assert table["0.5"].tolist() == [1.5, 3.0]  # of 1, 3, 2, 0
    assert table["0.25"].tolist() == [0.75, 1.5]


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
