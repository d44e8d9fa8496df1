import math

import pytest
import torch
from kvarena.kernels.evict import compact, lowest

INF = math.inf
ALL = (1, 1, 1, 1, 1)


def victims(score, positions, eligible, count):
    """Positions that go, of one row and head."""
    mask = lowest(
        torch.tensor([[score]], dtype=torch.float32),
        torch.tensor([[positions]], dtype=torch.int32),
        torch.tensor([[eligible]], dtype=torch.bool),
        torch.tensor([count], dtype=torch.int32),
    )
    return set(torch.tensor(positions)[mask[0, 0]].tolist())


@pytest.mark.parametrize(
    ("score", "positions", "eligible", "count", "expected"),
    [
        ((5, 1, 4, 2, 3), (0, 1, 2, 3, 4), ALL, 2, {1, 3}),
        ((5, 1, 4, 2, 3), (0, 1, 2, 3, 4), ALL, 0, set()),
        ((7, 7, 7, 7, 7), (9, 4, 6, 2, 8), ALL, 2, {2, 4}),
        ((1, 7, 7, 7, 0), (9, 4, 6, 2, 8), ALL, 3, {9, 8, 2}),
        ((INF, 1, INF, 2, INF), (0, 1, 2, 3, 4), ALL, 2, {1, 3}),
        ((INF, 1, INF, 2, INF), (5, 6, 7, 8, 9), ALL, 3, {6, 8, 5}),
        ((INF, 3e38, INF, INF, INF), (0, 4, 2, 3, 1), ALL, 1, {4}),
        ((-INF, 1, -INF, 2, -INF), (3, 2, 1, 4, 0), ALL, 2, {0, 1}),
        ((0, -0.0, 0, -0.0, 0), (4, 3, 2, 1, 0), ALL, 2, {0, 1}),
        ((-INF, 1, 2, 3, 4), (0, 1, 2, 3, 4), (0, 1, 0, 1, 1), 2, {1, 3}),
        ((-INF, INF, 2, INF, 4), (0, 1, 2, 3, 4), (0, 1, 0, 1, 0), 2, {1, 3}),
        ((1, 2, 3, 4, 5), (0, 1, 2, 3, 4), (1, 0, 1, 0, 0), 4, {0, 2}),
    ],
    ids=[
        "lowest",
        "none",
        "ties_lower_position",
        "tie_at_threshold",
        "inf_insists",
        "inf_goes_when_it_must",
        "inf_above_all_numbers",
        "minus_inf_first_ties_lower_position",
        "signed_zeros_tie",
        "ineligible_never",
        "ineligible_not_even_for_inf",
        "never_more_than_eligible",
    ],
)
def test_lowest(score, positions, eligible, count, expected):
    assert victims(score, positions, eligible, count) == expected


def test_lowest_does_not_depend_on_slot_order(rng):
    score = torch.randint(0, 4, (20,), generator=rng).float()  # many ties
    positions = torch.randperm(100, generator=rng)[:20]
    eligible = torch.rand(20, generator=rng) < 0.7
    chosen = victims(score.tolist(), positions.tolist(), eligible.tolist(), 6)
    pairs = sorted(zip(score.tolist(), positions.tolist(), eligible.tolist(), strict=True))
    assert chosen == set([position for _, position, may_go in pairs if may_go][:6])
    for _ in range(5):
        order = torch.randperm(20, generator=rng)
        assert victims(*(x[order].tolist() for x in (score, positions, eligible)), 6) == chosen


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ([1, 3], [[1, 1], [3, 3]]),
        ([[0, 1], [2, 5]], [[0, 1], [2, 5]]),
    ],
    ids=["per_row", "per_head"],
)
def test_lowest_counts(rng, count, expected):
    score = torch.randn(2, 2, 8, generator=rng)
    mask = lowest(score, torch.arange(8).expand(2, 2, 8), torch.ones(2, 2, 8, dtype=torch.bool), torch.tensor(count))
    assert mask.sum(-1).tolist() == expected
    for b in range(2):
        for h in range(2):
            assert set(mask[b, h].nonzero().flatten().tolist()) == set(score[b, h].argsort()[: expected[b][h]].tolist())


def filled(rng, rows, heads, slots, dim=3):
    """Columns whose every number is another one."""
    keys = torch.arange(rows * heads * slots * dim).float().view(rows, heads, slots, dim)
    positions = torch.stack([torch.randperm(1000, generator=rng)[:slots] for _ in range(rows * heads)])
    return [keys, -keys, positions.view(rows, heads, slots).to(torch.int32)]


@pytest.mark.parametrize("seed", range(5))
def test_compact_keeps_the_survivors_bit_for_bit(rng, seed):
    rng.manual_seed(seed)
    rows, heads, slots = 4, 2, 12
    columns = filled(rng, rows, heads, slots)
    before = [column.clone() for column in columns]
    chosen = torch.tensor([3, 1])
    live = torch.arange(slots) < torch.tensor([[10, 12], [7, 1]])[..., None]
    keep = live & (torch.rand(2, heads, slots, generator=rng) < 0.6)
    lengths = compact(columns, chosen, keep)

    assert lengths.dtype == torch.int32
    assert torch.equal(lengths, keep.sum(-1).to(torch.int32))
    for i, row in enumerate(chosen.tolist()):
        for h in range(heads):
            length = lengths[i, h].item()
            after = {
                (*keys.tolist(), *values.tolist(), position.item())
                for keys, values, position in zip(*(c[row, h, :length] for c in columns), strict=True)
            }
            expected = {
                (*keys.tolist(), *values.tolist(), position.item())
                for keys, values, position in zip(*(c[row, h, keep[i, h]] for c in before), strict=True)
            }
            assert after == expected
            assert len(after) == length
            # survivors below the new length stay, so moves are at most as many as victims
            stays = keep[i, h, :length].nonzero().flatten()
            assert torch.equal(columns[0][row, h, stays], before[0][row, h, stays])
            moved = (columns[2][row, h] != before[2][row, h]).sum()
            assert moved <= (live[i, h] & ~keep[i, h]).sum()
    for row in (0, 2):
        assert all(torch.equal(column[row], old[row]) for column, old in zip(columns, before, strict=True))


def test_compact_by_hand():
    """Three survive: slots 1 and 2 are the holes before slot 3, and slots 3 and 4 move there."""
    positions = torch.tensor([[[10, 11, 12, 13, 14, 99]]], dtype=torch.int32)
    keep = torch.tensor([[[True, False, False, True, True, False]]])
    lengths = compact([positions], torch.tensor([0]), keep)
    assert lengths.tolist() == [[3]]
    assert positions[0, 0, :3].tolist() == [10, 13, 14]


def test_compact_that_drops_nothing_moves_nothing(rng):
    columns = filled(rng, 1, 2, 6)
    before = [column.clone() for column in columns]
    lengths = compact(columns, torch.tensor([0]), torch.arange(6).expand(1, 2, 6) < 4)
    assert lengths.tolist() == [[4, 4]]
    assert all(map(torch.equal, columns, before))
