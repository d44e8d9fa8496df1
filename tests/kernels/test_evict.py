import math

import pytest
import torch
from kvarena.kernels.evict import compact, drop, kernel, lowest, reference

INF = math.inf
ALL = (1, 1, 1, 1, 1)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def victims(score, positions, eligible, count):
    """Positions that go, of one row and head."""
    row = (
        torch.tensor([[score]], dtype=torch.float32),
        torch.tensor([[positions]], dtype=torch.int32),
        torch.tensor([[eligible]], dtype=torch.bool),
        torch.tensor([count], dtype=torch.int32),
    )
    mask = lowest(*row)
    twin = kernel.lowest(*(x.to(DEVICE) for x in row))
    assert torch.equal(twin.cpu(), mask)
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
        ((math.nan, 3, -math.nan, 2, INF), (0, 1, 2, 3, 4), (1, 1, 1, 1, 1), 3, {0, 1, 3}),
        ((math.nan, 3, math.nan, 2, INF), (0, 1, 2, 3, 4), (1, 0, 0, 0, 0), 2, {0}),
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
        "nan_insists",
        "nan_goes_when_it_must",
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
    all_lengths = torch.full((rows, heads), 12, dtype=torch.int32)
    compact(columns, all_lengths, chosen, keep)

    lengths = all_lengths[chosen]
    assert torch.equal(lengths, keep.sum(-1).to(torch.int32))
    assert (all_lengths[[0, 2]] == 12).all()
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
    lengths = torch.tensor([[5]], dtype=torch.int32)
    compact([positions], lengths, torch.tensor([0]), keep)
    assert lengths.tolist() == [[3]]
    assert positions[0, 0, :3].tolist() == [10, 13, 14]


def test_compact_that_drops_nothing_moves_nothing(rng):
    columns = filled(rng, 1, 2, 6)
    before = [column.clone() for column in columns]
    lengths = torch.tensor([[4, 4]], dtype=torch.int32)
    compact(columns, lengths, torch.tensor([0]), torch.arange(6).expand(1, 2, 6) < 4)
    assert lengths.tolist() == [[4, 4]]
    assert all(map(torch.equal, columns, before))


@pytest.mark.parametrize(
    ("slots", "levels", "count"),
    [(1, 1, [[1], [0]]), (63, 3, [[5], [63]]), (1000, 9, [[64], [999]]), (1000, 10**6, [[1], [300]])],
    ids=["1", "63_many_ties", "1000_ties", "1000"],
)
def test_kernel_chooses_as_the_reference(rng, slots, levels, count):
    score = torch.randint(-levels, levels, (2, 2, slots), generator=rng) / 7
    positions = torch.stack([torch.randperm(3 * slots, generator=rng)[:slots] for _ in range(4)])
    positions = positions.view(2, 2, slots).to(torch.int32)
    eligible = torch.rand(2, 2, slots, generator=rng) < 0.8
    count = torch.tensor(count, dtype=torch.int32).expand(-1, 2)
    for counts in (count, count[:, 0]):
        row = (score, positions, eligible, counts)
        assert torch.equal(kernel.lowest(*(x.to(DEVICE) for x in row)).cpu(), reference.lowest(*row))


def memory(rng, slots, dtype):
    """Columns of every kind, and lengths, of 5 rows and 2 heads."""
    sizes = (64,), (64,), (), (3,), ()
    kinds = dtype, dtype, torch.int32, torch.float32, torch.float32
    columns = [
        torch.randint(0, 999, (5, 2, slots, *size), generator=rng).to(DEVICE, kind)
        for size, kind in zip(sizes, kinds, strict=True)
    ]
    columns[2][:] = torch.stack([torch.randperm(2 * slots, generator=rng)[:slots] for _ in range(10)]).view(5, 2, -1)
    lengths = torch.randint(slots // 2, slots + 1, (5, 2), generator=rng, dtype=torch.int32).to(DEVICE)
    return columns, lengths


@pytest.mark.parametrize(("slots", "share"), [(1, 0.0), (63, 0.5), (63, 1.0), (1000, 0.9)])
def test_kernel_closes_the_ranks_as_the_reference(rng, slots, share, dtype):
    columns, lengths = memory(rng, slots, dtype)
    rows = torch.tensor([3, -1, 0], device=DEVICE)
    live = torch.arange(slots, device=DEVICE) < lengths[rows][..., None]
    keep = live & (torch.rand(3, 2, slots, generator=rng) < share).to(DEVICE)
    expected = [column.clone() for column in columns], lengths.clone()
    kernel.compact(columns, lengths, rows, keep)
    reference.compact(*expected, rows, keep)
    assert all(map(torch.equal, columns, expected[0]))
    assert torch.equal(lengths, expected[1])


@pytest.mark.parametrize(("slots", "excess"), [(63, [7, 0, 20]), (1000, [64, 9, 600])])
def test_kernel_drops_as_the_reference(rng, slots, excess, dtype):
    columns, lengths = memory(rng, slots, dtype)
    rows = torch.tensor([4, -1, 1], device=DEVICE)
    due = dict(
        score=torch.randn(3, 2, slots, generator=rng).to(DEVICE),
        positions=columns[2][rows],
        evictable=(torch.rand(3, 2, slots, generator=rng) < 0.9).to(DEVICE),
        excess=torch.tensor(excess, dtype=torch.int32, device=DEVICE),
    )
    due["evictable"] &= torch.arange(slots, device=DEVICE) < lengths[rows][..., None]
    expected = [column.clone() for column in columns], lengths.clone()
    drop(columns, lengths, rows, **due)
    reference.drop(*expected, rows, *due.values())
    kernel_columns, kernel_lengths = memory(rng.manual_seed(0), slots, dtype)
    kernel.drop(kernel_columns, kernel_lengths, rows, *due.values())
    for ours in ((columns, lengths), (kernel_columns, kernel_lengths)):
        assert all(map(torch.equal, ours[0], expected[0]))
        assert torch.equal(ours[1], expected[1])
    assert not torch.equal(lengths, memory(rng.manual_seed(0), slots, dtype)[1])


def test_drop_by_hand():
    """Positions 3 and, of the two scores of 1, the lower one go: slots 4 and 5 move into their holes, 1 and 3."""
    positions = torch.tensor([[[9, 7, 5, 3, 11, 13, 99]]], dtype=torch.int32)
    lengths = torch.tensor([[6]], dtype=torch.int32)
    drop(
        [positions],
        lengths,
        torch.tensor([0]),
        score=torch.tensor([[[1.0, 1.0, 4.0, 0.0, 2.0, 0.0, -1.0]]]),
        positions=positions.clone(),
        evictable=torch.tensor([[[True, True, True, True, True, False, False]]]),
        excess=torch.tensor([2]),
    )
    assert lengths.tolist() == [[4]]
    assert positions[0, 0, :4].tolist() == [9, 11, 5, 13]
