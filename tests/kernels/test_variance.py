"""The variance in Triton and in PyTorch, against its definition, a slot after the other."""

import pytest
import torch
from kvarena.kernels.attend import BLOCK, Attended, attend
from kvarena.kernels.attend.reference import attend as twin
from kvarena.kernels.pack import Fp8, Packed, encode
from kvarena.kernels.variance import kernel, reference, variance
from kvarena.kernels.variance.reference import LEAST

SCALE = 0.3


@pytest.fixture
def make(rng, device):
    """What lies beyond a length is garbage, but for the bias, which is 0 there."""

    def build(lengths, groups, dim, dtype=torch.float32):
        lengths = torch.tensor(lengths, dtype=torch.int32)
        slots = -(-int(lengths.max()) // BLOCK) * BLOCK + BLOCK
        query = torch.randn(*lengths.shape, groups, dim, generator=rng)
        keys, values = torch.randn(2, *lengths.shape, slots, dim, generator=rng)
        bias = torch.rand(*lengths.shape, slots, generator=rng).sub(0.5).clamp(min=0)
        dead = torch.arange(slots) >= lengths[..., None]
        keys[dead], values[dead], bias[dead] = torch.nan, torch.nan, 0
        return *(x.to(device, dtype) for x in (query, keys, values)), lengths.to(device), bias.to(device)

    return build


def seen_by(query, keys, values, lengths, bias):
    plain = keys.nan_to_num(), values.nan_to_num()
    return Attended(*twin(query, *plain, lengths, keys.shape[2], SCALE, None, bias))


def by_definition(query, keys, values, length, bias):
    """Of one query [D]: the sum of (1 - e^-bias) |o - o without the slot|^2, in float64; less below LEAST."""
    keys, values, bias = (part[:length].double() for part in (keys, values, bias))
    logits = keys @ query.double() * SCALE + bias
    share, total = logits.softmax(0), 0.0
    for slot in bias.nonzero().flatten().tolist():
        others = torch.arange(length) != slot
        if others.any():
            moved = share @ values - logits[others].softmax(0) @ values[others]
            rest = float(1 - share[slot])
            total += -(-bias[slot]).expm1() * (moved * rest / max(rest, LEAST)).square().sum()
    return total


@pytest.mark.parametrize(("lengths", "groups", "dim"), [([[1, 63]], 1, 16), ([[64, 65], [130, 7]], 5, 64)])
def test_both_equal_the_definition(make, lengths, groups, dim):
    query, keys, values, lengths, bias = make(lengths, groups, dim)
    seen = seen_by(query, keys, values, lengths, bias)
    ours = kernel.variance(query, keys, values, lengths, seen, SCALE, bias)
    theirs = reference.variance(query, keys, values, lengths, seen, SCALE, bias)
    for b, h, g in torch.cartesian_prod(*map(torch.arange, query.shape[:3])).view(-1, 3).tolist():
        expected = float(by_definition(query[b, h, g], keys[b, h], values[b, h], int(lengths[b, h]), bias[b, h]))
        assert theirs[b, h, g].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
        assert ours[b, h, g].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_half_precision_equals_the_reference(make, dtype):
    query, keys, values, lengths, bias = make([[64, 65], [130, 7]], 5, 64, dtype)
    seen = seen_by(query, keys, values, lengths, bias)
    ours = kernel.variance(query, keys, values, lengths, seen, SCALE, bias)
    theirs = reference.variance(query, keys, values, lengths, seen, SCALE, bias)
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=1e-4)


def test_packed_columns_equal_the_reference(make, device):
    query, keys, values, lengths, bias = make([[100, 63]], 2, 32)
    form, positions = Fp8(), torch.arange(keys.shape[2], dtype=torch.int32, device=device).expand(1, 2, -1)
    columns = []
    for vectors in (keys, values):
        codes, scales = encode(form, form.turn(vectors.nan_to_num()))
        ring, position = vectors.new_empty(1, 2, 0, 32), torch.tensor([100], device=device)
        known = dict(ring=ring, positions=positions.contiguous(), position=position, dim=32)
        columns.append(Packed(form=form, codes=codes, scales=scales, **known))
    seen = Attended(*twin(query, *columns, lengths, keys.shape[2], SCALE, None, bias))
    ours = kernel.variance(query, *columns, lengths, seen, SCALE, bias)
    torch.testing.assert_close(
        ours, reference.variance(query, *columns, lengths, seen, SCALE, bias), rtol=1e-4, atol=1e-6
    )


def test_a_row_does_not_depend_on_its_neighbours(make):
    query, keys, values, lengths, bias = make([[70, 3], [130, 64]], 2, 16)
    seen = seen_by(query, keys, values, lengths, bias)
    every = variance(query, keys, values, lengths, seen, scale=SCALE, bias=bias)
    first = Attended(seen.output[:1], seen.lse[:1])
    alone = variance(query[:1], keys[:1], values[:1], lengths[:1], first, scale=SCALE, bias=bias[:1])
    assert torch.equal(every[:1], alone)


def test_without_chance_there_is_no_error(make):
    query, keys, values, lengths, _ = make([[64, 65]], 2, 16)
    nothing = torch.zeros(keys.shape[:3], device=keys.device)
    plain = keys.nan_to_num(), values.nan_to_num()
    seen = attend(query, *plain, lengths, longest=keys.shape[2], scale=SCALE, bias=nothing)
    assert variance(query, *plain, lengths, seen, scale=SCALE, bias=nothing).eq(0).all()
