"""One step's writes, in PyTorch and in Triton."""

from types import SimpleNamespace

import pytest
import torch
from kvarena.kernels.append import append, kernel, reference

FIELDS = ("keys", "values", "positions", "mass", "rank", "lengths", "queries", "page_min", "page_max")


def test_by_hand():
    """Two rows, one head: row 0 has one live slot, row 1 is idle."""
    memory = SimpleNamespace(
        keys=torch.zeros(2, 1, 3, 1),
        values=torch.zeros(2, 1, 3, 1),
        positions=torch.zeros(2, 1, 3, dtype=torch.int32),
        mass=torch.ones(2, 1, 3),
        rank=torch.zeros(2, 1, 3, dtype=torch.int32),
        lengths=torch.tensor([[1], [0]], dtype=torch.int32),
        queries=torch.zeros(2, 1, 1, 2, 1),
        page_min=torch.zeros(2, 1, 0, 1),
        page_max=torch.zeros(2, 1, 0, 1),
    )
    read = append(
        memory,
        query=torch.tensor([3.0, 4.0]).view(2, 1, 1, 1),
        key=torch.tensor([5.0, 6.0]).view(2, 1, 1),
        value=torch.tensor([7.0, 8.0]).view(2, 1, 1),
        position=torch.tensor([9, 0]),
        active=torch.tensor([1, 0], dtype=torch.int32),
        page=0,
    )
    assert read.tolist() == [[2], [1]]
    assert memory.lengths.tolist() == [[2], [0]]
    assert memory.keys.flatten().tolist() == [0, 5, 0, 6, 0, 0]
    assert memory.values.flatten().tolist() == [0, 7, 0, 8, 0, 0]
    assert memory.positions.flatten().tolist() == [0, 9, 0, 0, 0, 0]
    assert memory.mass.flatten().tolist() == [1, 0, 1, 0, 1, 1]
    assert memory.rank.flatten().tolist() == [0, 9, 0, 0, 0, 0]
    assert memory.queries.flatten().tolist() == [0, 3, 4, 0]


def test_an_idle_row_that_is_full_stays_within_itself(device):
    """Where rows end between two looks they may be full, as they were before the round that they are not in any more.

    The row behind one is as it was, and memory ends with the other.
    """
    for write in (kernel.append, reference.append):
        memory = SimpleNamespace(
            keys=torch.zeros(3, 1, 2, 16),
            values=torch.zeros(3, 1, 2, 16),
            positions=torch.tensor([[[7, 8]], [[0, -1]], [[7, 8]]], dtype=torch.int32),
            mass=torch.ones(3, 1, 2),
            rank=torch.zeros(3, 1, 2, dtype=torch.int32),
            lengths=torch.tensor([[2], [1], [2]], dtype=torch.int32),
            queries=torch.zeros(3, 1, 1, 0, 16),
            page_min=torch.zeros(3, 1, 2, 16),
            page_max=torch.zeros(3, 1, 2, 16),
        )
        vars(memory).update({name: column.to(device) for name, column in vars(memory).items()})
        token = torch.ones(3, 1, 1, 16, device=device), *torch.ones(2, 3, 1, 16, device=device)
        position, active = torch.tensor([9, 1, 9], device=device), torch.tensor([0, 1, 0], device=device).int()
        assert write(memory, *token, position, active, 1).tolist() == [[2], [2], [2]]
        assert memory.lengths.tolist() == [[2], [2], [2]]
        assert memory.positions.tolist() == [[[7, 9]], [[0, 1]], [[7, 9]]]
        assert memory.mass.tolist() == [[[1, 0]]] * 3
        for column in (memory.keys, memory.values, memory.page_min, memory.page_max):
            assert column[..., 0].tolist() == [[[0, 1]]] * 3


@pytest.fixture
def make(rng, device):
    def build(*, rows=3, heads=2, groups=5, slots=64, dim=64, mass=False, rank=False, window=0, page=0, dtype):
        def random(*size, dtype=dtype):
            return torch.randn(rows, heads, *size, generator=rng).to(device, dtype)

        num_pages = -(-slots // page) if page else 0
        lengths = torch.randint(0, slots, (rows, heads), generator=rng, dtype=torch.int32)
        lengths[0, 0], lengths[1], lengths[2, 0] = 0, slots, slots - 1  # row 1 is idle
        return SimpleNamespace(
            keys=random(slots, dim),
            values=random(slots, dim),
            positions=random(slots).to(torch.int32),
            mass=random(slots if mass else 0, dtype=torch.float32),
            rank=random(slots if rank else 0).to(torch.int32),
            lengths=lengths.to(device),
            queries=random(groups, window, dim),
            page_min=random(num_pages, dim),
            page_max=random(num_pages, dim),
        )

    return build


@pytest.mark.parametrize(
    "needs",
    [
        dict(groups=1),
        dict(rank=True, window=16),
        dict(mass=True, dim=128),
        dict(page=16, groups=8),
        dict(page=7, mass=True, window=5, rank=True),
    ],
    ids=["keys_and_values", "window", "mass", "pages", "all"],
)
def test_kernel_equals_the_reference(make, rng, device, needs, dtype):
    ours = make(**needs, dtype=dtype)
    theirs = SimpleNamespace(**{name: getattr(ours, name).clone() for name in FIELDS})
    rows, heads, groups, _, dim = ours.queries.shape
    for position in ([40, 0, 6], [41, 0, 7]):
        sizes = (groups, dim), (dim,), (dim,)
        token = [torch.randn(rows, heads, *size, generator=rng).to(device, dtype) for size in sizes]
        active = torch.tensor([1, 0, 1], dtype=torch.int32, device=device)
        rest = torch.tensor(position, device=device), active, needs.get("page", 0)
        read = kernel.append(ours, *token, *rest)
        assert torch.equal(read, reference.append(theirs, *token, *rest))
        for name in FIELDS:
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        ours.lengths.clamp_(max=62)
        theirs.lengths.clamp_(max=62)
