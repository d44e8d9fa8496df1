"""What a kernel reads or writes outside of its arguments ends its test."""

import pytest
import torch
import triton
import triton.language as tl

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is watched, not a GPU")


@triton.jit
def copy(numbers, to, begin, count, COUNT: tl.constexpr):
    at = tl.arange(0, COUNT)
    tl.store(to + at, tl.load(numbers + begin + at, mask=at < count, other=0.0), mask=at < count)


@triton.jit
def copy_second(first, second, to, COUNT: tl.constexpr):
    at = tl.arange(0, COUNT)
    tl.store(to + at, tl.load(second + at))


@triton.jit
def add(to, at):
    tl.atomic_add(to + at, 1.0)


@pytest.mark.parametrize(("begin", "count"), [(1, 4), (-1, 4), (-(2**20), 1)])
def test_a_load_outside(begin, count):
    with pytest.raises(Exception, match=r"copy: create_masked_load of 1 numbers outside"):
        copy[(1,)](torch.zeros(4), torch.zeros(8), begin, count, COUNT=8)


def test_a_store_outside():
    with pytest.raises(Exception, match=r"copy: create_masked_store of 2 numbers outside"):
        copy[(1,)](torch.zeros(6), torch.zeros(4), 0, 6, COUNT=8)
    with pytest.raises(Exception, match=r"add: create_atomic_rmw of 1 numbers outside"):
        add[(1,)](torch.zeros(4), 4)


@pytest.mark.parametrize(
    ("view", "begin", "count"),
    [
        (lambda memory: memory[:2], 1, 8),  # rows beside one another
        (lambda memory: memory[1:3].mT, -1, 8),
        (lambda memory: memory[:, :3], 0, 4),  # between two rows
        (lambda memory: memory[::2, 1:], 7, 2),  # before the second of its rows
    ],
    ids=["behind", "before", "between", "step"],
)
def test_a_view_has_its_own_numbers_alone(view, begin, count):
    memory, to = torch.zeros(4, 4), torch.zeros(8)
    copy[(1,)](memory, to, begin + view(memory).storage_offset(), count, COUNT=8)
    with pytest.raises(Exception, match=r"copy: create_masked_load of 1 numbers outside"):
        copy[(1,)](view(memory), to, begin, count, COUNT=8)


def test_views_that_overlap_have_what_any_of_them_has():
    memory, to = torch.arange(8.0), torch.zeros(8)
    copy_second[(1,)](memory[2:4], memory, to, COUNT=8)
    assert to.tolist() == [*range(8)]


def test_what_is_inside_is_as_before():
    to = torch.zeros(4)
    copy[(1,)](torch.arange(8.0)[2:6], to, 1, 3, COUNT=4)
    assert to.tolist() == [3, 4, 5, 0]
    add[(1,)](to, 3)
    assert to.tolist() == [3, 4, 5, 1]
