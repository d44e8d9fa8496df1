import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.neighbours import ByRank
from kvarena.methods.quest import Quest
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.cache import Layer, Shape

BUDGET = Budget(tokens=32, recent=4, sinks=0)


@pytest.mark.parametrize(
    ("policy", "slot_bytes", "row_bytes"),
    [
        # two heads: keys and values of 8 bfloat16 each, and a position
        (Full(), 2 * (2 * 8 * 2 + 4), 0),
        (H2O(budget=BUDGET), 2 * (2 * 8 * 2 + 4 + 4), 0),
        # 3 query heads of 4 queries
        (SnapKV(budget=BUDGET), 2 * (2 * 8 * 2 + 4), 2 * 3 * 4 * 8 * 2),
        (VaSEAttnV(budget=BUDGET), 2 * (2 * 8 * 2 + 4), 2 * 3 * 4 * 8 * 2),
        (SnapKV(budget=BUDGET, neighbours=ByRank()), 2 * (2 * 8 * 2 + 4 + 4), 2 * 3 * 4 * 8 * 2),
        # 128 slots are 8 pages of 16
        (Quest(budget=BUDGET, page=16), 2 * (2 * 8 * 2 + 4), 2 * 2 * 8 * 8 * 2),
    ],
    ids=["full", "h2o", "snapkv", "vase", "snapkv_rank", "quest"],
)
def test_bytes_of_what_a_method_asks_for(policy, slot_bytes, row_bytes):
    layer = Layer.empty(policy, Shape(layers=1, heads=2, groups=3, dim=8), 5, 100, torch.bfloat16, torch.device("cpu"))
    assert layer.keys.shape == (5, 2, 128, 8)  # 100 slots in blocks of 64
    assert (layer.slot_bytes, layer.row_bytes) == (slot_bytes, row_bytes)
    assert all(column.shape[:3] == (5, 2, 128) for column in layer.columns)
