"""The Triton attention against its twin in PyTorch."""

import pytest
import torch
from kvarena.kernels.attend import BLOCK, kernel, reference

SCALE = 0.3


def close(actual, expected, dtype):
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == torch.float32 else dict(rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(actual, expected, **tolerance)


@pytest.fixture
def make(rng, device):
    """Rows of one head each, of these lengths; what lies beyond a length is garbage."""

    def build(lengths, groups, dim, dtype):
        heads = len(lengths[0])
        slots = -(-max(max(row) for row in lengths) // BLOCK) * BLOCK + BLOCK
        query = torch.randn(len(lengths), heads, groups, dim, generator=rng)
        keys, values = torch.randn(2, len(lengths), heads, slots, dim, generator=rng)
        lengths = torch.tensor(lengths, dtype=torch.int32)
        dead = torch.arange(slots) >= lengths[..., None]
        keys[dead], values[dead] = torch.nan, torch.nan
        return *(x.to(device, dtype) for x in (query, keys, values)), lengths.to(device)

    return build


def twin(query, keys, values, lengths, reads=None):
    keys, values = keys.nan_to_num(), values.nan_to_num()
    return reference.attend(query, keys, values, lengths, keys.shape[2], SCALE, reads)


@pytest.mark.parametrize(
    ("lengths", "groups", "dim"),
    [
        ([[1, 63]], 1, 64),
        ([[64, 255], [256, 257]], 5, 128),
        ([[1000, 1]], 2, 64),
        ([[300]], 4, 16),
        ([[65]], 8, 32),
    ],
    ids=["short", "around_a_split", "1000_beside_1", "four", "eight"],
)
def test_attend_equals_the_reference(make, lengths, groups, dim, dtype):
    query, keys, values, lengths = make(lengths, groups, dim, dtype)
    output, lse = kernel.attend(query, keys, values, lengths, SCALE, None, 0)
    expected, expected_lse = twin(query, keys, values, lengths)
    assert (output.dtype, lse.dtype) == (dtype, torch.float32)
    close(output, expected, dtype)
    close(lse, expected_lse, torch.float32)


@pytest.mark.parametrize("page", [0, 16])
def test_a_bias_equals_the_reference(make, rng, device, page, dtype):
    query, keys, values, lengths = make([[300, 70], [1, 600]], 2, 64, dtype)
    bias = torch.randn(keys.shape[:3], generator=rng).to(device)
    pages = torch.tensor([0, 3, -1, 2], dtype=torch.int32, device=device).expand(2, 2, -1) if page else None
    reads = None if pages is None else reference.slots_of_pages(pages, page, keys.shape[2])
    output, lse = kernel.attend(query, keys, values, lengths, SCALE, pages, page, bias)
    plain = keys.nan_to_num(), values.nan_to_num(), lengths, keys.shape[2], SCALE, reads
    expected, expected_lse = reference.attend(query, *plain, bias)
    close(output, expected, dtype)
    close(lse, expected_lse, torch.float32)
    unbiased, _ = kernel.attend(query, keys, values, lengths, SCALE, pages, page)
    assert not torch.allclose(output[0], unbiased[0])


def test_a_bias_counts_in_mass_and_uses(make, rng, device):
    query, keys, values, lengths = make([[1, 63], [64, 130]], 5, 64, torch.float32)
    bias = torch.randn(keys.shape[:3], generator=rng).to(device)
    plain = keys.nan_to_num()
    lse = reference.attend(query, plain, values.nan_to_num(), lengths, keys.shape[2], SCALE, None, bias)[1]
    mass = torch.zeros(keys.shape[:3], device=device)
    kernel.add_mass(mass, query, keys, lengths, lse, SCALE, 1.0, bias)
    close(mass, reference.mass(query, plain, lengths, lse, SCALE, bias), torch.float32)
    torch.testing.assert_close(mass.sum(-1), torch.ones(2, 2, device=device))
    uses = [torch.zeros(keys.shape[:3], dtype=torch.int32, device=device) for _ in range(4)]
    place = torch.tensor([70, 140], device=device)
    kernel.note_uses(*uses[:2], query, keys, lengths, lse, place, SCALE, 0.02, bias)
    reference.note_uses(*uses[2:], query, plain, lengths, lse, place, SCALE, 0.02, bias)
    assert torch.equal(uses[0], uses[2])
    assert torch.equal(uses[1], uses[3])


def test_more_splits_than_are_joined_at_once(make):
    query, keys, values, lengths = make([[kernel.SPLIT * kernel.JOINED + 70]], 1, 16, torch.float32)
    output, lse = kernel.attend(query, keys, values, lengths, SCALE, None, 0)
    expected, expected_lse = twin(query, keys, values, lengths)
    close(output, expected, torch.float32)
    close(lse, expected_lse, torch.float32)


def test_row_is_bit_equal_whatever_its_neighbours_and_the_capacity_are(make):
    query, keys, values, lengths = make([[300, 70], [1000, 5]], 2, 64, torch.float32)
    beside = kernel.attend(query, keys, values, lengths, SCALE, None, 0)
    alone = kernel.attend(query[:1], keys[:1, :, :320], values[:1, :, :320], lengths[:1], SCALE, None, 0)
    assert torch.equal(beside[0][0], alone[0][0])
    assert torch.equal(beside[1][0], alone[1][0])


@pytest.mark.parametrize("page", [1, 16, 20])
@pytest.mark.parametrize("per_query_head", [False, True], ids=["kv_head", "query_head"])
def test_pages_equal_the_reference(make, rng, device, page, per_query_head, dtype):
    query, keys, values, lengths = make([[600, 333], [41, 600]], 2, 64, dtype)
    num_pages = -(-lengths[..., None, None] // page)
    kinds = 2 if per_query_head else 1
    pages = torch.rand(2, 2, kinds, 600 // page + 1, generator=rng).argsort(-1)[..., : 320 // page]
    pages = pages.to(device, torch.int32)
    pages = torch.where((pages < num_pages) & (pages % 3 > 0), pages, -1)
    pages[..., -1] = 0  # something to read for everyone
    if not per_query_head:
        pages = pages[:, :, 0]
    output, lse = kernel.attend(query, keys, values, lengths, SCALE, pages, page)
    reads = reference.slots_of_pages(pages, page, keys.shape[2])
    expected, expected_lse = twin(query, keys, values, lengths, reads)
    close(output, expected, dtype)
    close(lse, expected_lse, torch.float32)


def test_logits_far_apart_over_splits_do_not_overflow(device):
    keys, values = torch.zeros(2, 1, 1, 512, 16, device=device)
    keys[..., 300, 0], values[..., 300, 0] = 5000.0, 7.0
    lengths = torch.tensor([[512]], dtype=torch.int32, device=device)
    for sign in (1.0, -1.0):
        query = torch.zeros(1, 1, 1, 16, device=device)
        query[..., 0] = sign
        output, lse = kernel.attend(query, keys, values, lengths, 1.0, None, 0)
        assert output[..., 0].item() == (7.0 if sign > 0 else 0.0)
        assert lse.item() == pytest.approx(5000.0 if sign > 0 else 6.236369, rel=1e-6)  # log 511


@pytest.mark.parametrize("decay", [1.0, 0.8, 0.0])
@pytest.mark.parametrize(("groups", "dim"), [(1, 64), (5, 128)])
def test_mass_equals_the_reference(make, rng, device, groups, dim, dtype, decay):
    query, keys, values, lengths = make([[1, 63], [64, 130]], groups, dim, dtype)
    lse = twin(query, keys, values, lengths)[1]
    mass = torch.rand(keys.shape[:3], generator=rng).to(device)
    live = torch.arange(mass.shape[2], device=device) < lengths[..., None]
    expected = torch.where(live, decay * mass, mass) + reference.mass(query, keys.nan_to_num(), lengths, lse, SCALE)
    kernel.add_mass(mass, query, keys, lengths, lse, SCALE, decay)
    close(mass, expected, torch.float32)


def test_a_mass_that_does_not_decay_is_that_of_before(make, rng, device):
    query, keys, values, lengths = make([[1, 63], [64, 130]], 5, 64, torch.float32)
    lse = twin(query, keys, values, lengths)[1]
    masses = torch.rand(keys.shape[:3], generator=rng).to(device).expand(2, -1, -1, -1).clone()
    kernel.add_mass(masses[0], query, keys, lengths, lse, SCALE)
    kernel.add_mass(masses[1], query, keys, lengths, lse, SCALE, 1.0)
    assert torch.equal(*masses)


@pytest.mark.parametrize(("groups", "dim"), [(1, 64), (5, 128)])
def test_uses_equal_the_reference(make, rng, device, groups, dim, dtype):
    query, keys, values, lengths = make([[1, 63], [64, 130]], groups, dim, dtype)
    lse = twin(query, keys, values, lengths)[1]
    size, position = keys.shape[:3], torch.tensor([70, 140], device=device)
    uses = [torch.randint(low, high, size, generator=rng).to(device, torch.int32) for low, high in ((0, 70), (0, 9))]
    twins = [column.clone() for column in uses]
    # between two probabilities of a group's most, so that rounding decides nothing
    shares = torch.cat([b.amax(2) for b in reference.probabilities(query, keys.nan_to_num(), lse, SCALE)], -1)
    live = torch.arange(size[2], device=device) < lengths[..., None]
    ordered = shares[live].sort().values
    middle = len(ordered) // 2 + int((ordered.diff()[len(ordered) // 2 : len(ordered) // 2 + 20]).argmax())
    least = ordered[middle : middle + 2].mean().item()
    kernel.note_uses(*uses, query, keys, lengths, lse, position, SCALE, least)
    reference.note_uses(*twins, query, keys.nan_to_num(), lengths, lse, position, SCALE, least)
    for ours, expected in zip(uses, twins, strict=True):
        assert torch.equal(ours[live], expected[live])
    assert (uses[0][live] == position[:, None, None].expand(size)[live]).float().mean() > 0.3


@pytest.mark.parametrize("page", [1, 16, 20])
@pytest.mark.parametrize("per_query_head", [False, True], ids=["kv_head", "query_head"])
def test_slots_read_equal_the_reference(rng, device, page, per_query_head):
    """More pages, and more of them listed, than are counted at a time; heads of unlike lengths; an idle row."""
    num_slots = 1300 * page
    lengths = torch.tensor([[num_slots, 1], [num_slots - page // 2, 700 * page + 1], [5, 9]], dtype=torch.int32)
    pages = torch.rand(3, 2, 3 if per_query_head else 1, 1300, generator=rng).argsort(-1)[..., :1100]
    pages = torch.where(pages % 3 > 0, pages, -1).to(torch.int32)
    if not per_query_head:
        pages = pages[:, :, 0]
    lengths, pages, active = lengths.to(device), pages.to(device), torch.tensor([1, 1, 0], dtype=torch.int32).to(device)
    ours = torch.tensor([2**40, 5, 6]).to(device)
    expected = ours + reference.num_reads(lengths, pages, page, num_slots) * active
    kernel.add_reads(ours, lengths, active, pages, page, num_slots)
    assert ours.tolist() == expected.tolist()
    assert ours[2] == 6


def test_head_size_that_the_kernels_do_not_take(make):
    query, keys, values, lengths = make([[5]], 1, 48, torch.float32)
    with pytest.raises(ValueError, match="head size 48: the Triton kernels take 16, 32, 64, 128, 256"):
        kernel.attend(query, keys, values, lengths, SCALE, None, 0)
