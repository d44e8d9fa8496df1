import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.certificate import Certificate
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.full import Full
from kvarena.methods.gkv import GKV
from kvarena.methods.h2o import H2O
from kvarena.methods.knorm import KNorm
from kvarena.methods.lazy_eviction import LazyEviction
from kvarena.methods.neighbours import ByRank
from kvarena.methods.quest import Quest
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.summary import Summary
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.watched import Watched
from kvarena.runners.cache import Layer, Room, Shape
from kvarena.runners.cache.words import rows_of, words

CPU = torch.device("cpu")
BUDGET = Budget(tokens=32, recent=4, sinks=0)
CERTIFIED = Certificate(budget=BUDGET, of=VaSEAttnV(budget=BUDGET))


@pytest.mark.parametrize(
    ("policy", "slot_bytes", "row_bytes"),
    [
        # two heads: keys and values of 8 bfloat16 each, and a position
        (Full(), 2 * (2 * 8 * 2 + 4), 0),
        (H2O(budget=BUDGET), 2 * (2 * 8 * 2 + 4 + 4), 0),
        # 3 query heads of 4 queries
        (SnapKV(budget=BUDGET), 2 * (2 * 8 * 2 + 4), 2 * 3 * 4 * 8 * 2),
        (VaSEAttnV(budget=BUDGET), 2 * (2 * 8 * 2 + 4), 2 * 3 * 4 * 8 * 2),
        # a score that stays with its slot, and 3 query heads of 4 queries
        (GKV(budget=BUDGET, window=4), 2 * (2 * 8 * 2 + 4 + 4), 2 * 3 * 4 * 8 * 2),
        # 3 query heads of 16 queries
        (ExpectedAttention(budget=BUDGET, window=16), 2 * (2 * 8 * 2 + 4), 2 * 3 * 16 * 8 * 2),
        (LazyEviction(budget=BUDGET), 2 * (2 * 8 * 2 + 4 + 8), 0),
        (SnapKV(budget=BUDGET, neighbours=ByRank()), 2 * (2 * 8 * 2 + 4 + 4), 2 * 3 * 4 * 8 * 2),
        # a bias, and for the second the queries of the method inside
        (Summary(budget=BUDGET, of=KNorm(budget=BUDGET)), 2 * (2 * 8 * 2 + 4 + 4), 0),
        (CERTIFIED, 2 * (2 * 8 * 2 + 4 + 4), 2 * 3 * 4 * 8 * 2),
        # 128 slots are 8 pages of 16
        (Quest(budget=BUDGET, page=16), 2 * (2 * 8 * 2 + 4), 2 * 2 * 8 * 8 * 2),
    ],
    ids=[
        *("full", "h2o", "snapkv", "vase", "gkv", "expected_attention", "lazy_eviction", "snapkv_rank", "summary"),
        *("certificate", "quest"),
    ],
)
def test_bytes_of_what_a_method_asks_for(policy, slot_bytes, row_bytes):
    room = Room.of(Shape(layers=1, heads=2, groups=3, dim=8), policy.needs, 100)
    layer = Layer.empty(room, 5, torch.bfloat16, CPU)
    assert layer.keys.shape == (5, 2, 128, 8)  # 100 slots in blocks of 64
    assert (layer.slot_bytes, layer.row_bytes) == (slot_bytes, row_bytes)
    assert all(column.shape[:3] == (5, 2, 128) for column in layer.columns)


def test_a_row_that_is_filled_holds_nothing_of_the_one_before():
    """Six tokens so far, three of them left in head 0 and two in head 1; the window is of four queries."""
    shape = Shape(layers=1, heads=2, groups=1, dim=1)
    watched = Watched(budget=BUDGET, of=SnapKV(budget=BUDGET, neighbours=ByRank()))
    layer = Layer.empty(Room.of(shape, watched.needs, 64), 2, torch.float32, CPU)
    for column in (*layer.columns, layer.queries):
        column[1] = torch.nan if column.is_floating_point() else 7
    keys = torch.arange(6.0).view(2, 3, 1)
    positions = torch.tensor([[0, 2, 5], [4, 5, -1]], dtype=torch.int32)
    queries = torch.arange(12.0).view(2, 1, 6, 1)
    new = dict(keys=keys, values=-keys, positions=positions, queries=queries)
    layer.fill(slice(1, 2), 6, **{name: column[None] for name, column in new.items()})
    assert layer.lengths.tolist() == [[0, 0], [3, 2]]
    assert layer.positions[1, :, :4].tolist() == [[0, 2, 5, -1], [4, 5, -1, -1]]
    assert layer.keys[1, :, :4, 0].tolist() == [[0, 1, 2, 0], [3, 4, 5, 0]]
    assert layer.values[1, :, :4, 0].tolist() == [[0, -1, -2, 0], [-3, -4, -5, 0]]
    assert layer.rank[1, :, :2].tolist() == [[0, 2], [4, 5]]
    assert not any(column[1, :, 3:].sum() for column in (layer.keys, layer.values, layer.mass, layer.rank))
    # position p at p mod 4
    assert layer.queries[1, :, 0, :, 0].tolist() == [[4, 5, 2, 3], [10, 11, 8, 9]]
    assert not any(column[0].any() for column in (layer.keys, layer.values, layer.queries))


@pytest.mark.parametrize("size", [0, 3, 4, 12], ids=str)
def test_rows_are_copied_by_words_where_vectors_are_whole_ones(size):
    column = torch.arange(5 * 2 * size).view(5, 2, size).to(torch.bfloat16)
    at = torch.tensor([4, 0, 4])
    assert torch.equal(rows_of(column, at), column[at])
    assert words(column).dtype == (torch.int64 if size in (4, 12) else torch.bfloat16)
    assert rows_of(column, slice(1, 3)).data_ptr() == column[1:3].data_ptr()
