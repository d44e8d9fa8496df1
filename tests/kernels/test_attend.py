import math

import pytest
import torch
from kvarena.kernels.attend import BLOCK, add_reads, attend
from kvarena.kernels.attend.reference import mass


def make(rng, rows=3, heads=2, groups=2, blocks=3, dim=16):
    slots = blocks * BLOCK
    query = torch.randn(rows, heads, groups, dim, generator=rng)
    keys, values = torch.randn(2, rows, heads, slots, dim, generator=rng)
    lengths = torch.randint(1, slots + 1, (rows, heads), generator=rng, dtype=torch.int32)
    return query, keys, values, lengths


def run(query, keys, values, lengths, longest=None, **pages):
    return attend(query, keys, values, lengths, longest=longest or lengths.max().item(), scale=0.3, **pages)


def softmax(query, keys, values, slots, scale=0.3):
    """One query [D] over these slots of keys [N, D], in float64: output, log-sum-exp, probabilities."""
    logits = keys[slots].double() @ query.double() * scale
    return logits.softmax(0) @ values[slots].double(), logits.logsumexp(0), logits.softmax(0)


@pytest.mark.parametrize("dim", [16, 64])
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_equals_softmax_over_the_live_slots(rng, groups, dim):
    query, keys, values, lengths = make(rng, groups=groups, dim=dim)
    lengths[0, 0], lengths[1, 1], lengths[2, 0] = 1, BLOCK, BLOCK + 1
    output, lse = run(query, keys, values, lengths)
    for b, h, g in torch.cartesian_prod(*map(torch.arange, (3, 2, groups))).tolist():
        live = torch.arange(lengths[b, h])
        expected, expected_lse, _ = softmax(query[b, h, g], keys[b, h], values[b, h], live)
        torch.testing.assert_close(output[b, h, g].double(), expected, rtol=1e-5, atol=5e-6)
        torch.testing.assert_close(lse[b, h, g].double(), expected_lse, rtol=1e-5, atol=1e-6)


def test_by_hand():
    """One query of 1 over keys 0 and log 3 (scale 1): weights 1/4 and 3/4."""
    keys, values = torch.zeros(2, 1, 1, BLOCK, 1)
    keys[..., 1, 0], values[..., 0, 0], values[..., 1, 0] = math.log(3), 8.0, 4.0
    output, lse = attend(torch.ones(1, 1, 1, 1), keys, values, torch.tensor([[2]]), longest=2, scale=1.0)
    assert output.item() == pytest.approx(5.0)
    assert lse.item() == pytest.approx(math.log(4))


def test_a_bias_of_log_n_is_n_slots_by_hand():
    """Keys 0 and log 3, and the first stands for three tokens: weights 3/6 and 3/6."""
    keys, values, bias = torch.zeros(1, 1, BLOCK, 1), torch.zeros(1, 1, BLOCK, 1), torch.zeros(1, 1, BLOCK)
    keys[..., 1, 0], values[..., 0, 0], values[..., 1, 0], bias[..., 0] = math.log(3), 8.0, 4.0, math.log(3)
    query, lengths = torch.ones(1, 1, 1, 1), torch.tensor([[2]])
    output, lse = attend(query, keys, values, lengths, longest=2, scale=1.0, bias=bias)
    assert output.item() == pytest.approx(6.0)
    assert lse.item() == pytest.approx(math.log(6))
    assert mass(query, keys, lengths, lse, 1.0, bias)[0, 0, :3].tolist() == pytest.approx([0.5, 0.5, 0])


def test_a_bias_of_nothing_changes_no_bit(rng):
    query, keys, values, lengths = make(rng)
    plain, biased = (run(query, keys, values, lengths, bias=bias) for bias in (None, torch.zeros(keys.shape[:3])))
    assert torch.equal(plain.output, biased.output)
    assert torch.equal(plain.lse, biased.lse)


def test_a_bias_holds_for_the_pages_that_are_read(rng):
    query, keys, values, lengths = make(rng, rows=1)
    lengths.fill_(100)
    bias = torch.randn(keys.shape[:3], generator=rng)
    pages = PAGES["kv_head"]
    output, _ = run(query, keys, values, lengths, pages=pages, page=16, bias=bias)
    slots = torch.tensor([*range(16), *range(96, 100)])  # pages 0 and 6 of the first head
    for g in (0, 1):
        weight = (keys[0, 0, slots] @ query[0, 0, g] * 0.3 + bias[0, 0, slots]).softmax(0)
        torch.testing.assert_close(output[0, 0, g], weight @ values[0, 0, slots], rtol=1e-5, atol=1e-5)


def test_logits_far_apart_over_blocks_do_not_overflow():
    keys, values = torch.zeros(2, 1, 1, 2 * BLOCK, 1)
    keys[..., BLOCK, 0], values[..., BLOCK, 0] = 5000.0, 7.0
    for query in (1.0, -1.0):
        output, lse = attend(
            torch.full((1, 1, 1, 1), query), keys, values, torch.tensor([[2 * BLOCK]]), longest=2 * BLOCK, scale=1.0
        )
        assert output.item() == (7.0 if query > 0 else 0.0)
        assert lse.item() == pytest.approx(5000.0 if query > 0 else math.log(2 * BLOCK - 1))


def test_order_of_slots_does_not_matter(rng):
    query, keys, values, lengths = make(rng)
    lengths.fill_(100)
    order = torch.cat([torch.randperm(100, generator=rng), torch.arange(100, keys.shape[2])])
    output, lse = run(query, keys, values, lengths)
    shuffled, shuffled_lse = run(query, keys[:, :, order], values[:, :, order], lengths)
    torch.testing.assert_close(shuffled, output, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(shuffled_lse, lse)


@pytest.mark.parametrize("longest", [70, 128, 192])
def test_row_is_bit_equal_whatever_its_neighbours_are(rng, longest):
    query, keys, values, lengths = make(rng)
    lengths[:] = torch.tensor([[70, 3], [70, 70], [1, 64]])
    alone = run(query, keys, values, lengths)
    others = lengths.clone()
    others[1:] = longest
    query[1:] = 5.0
    beside = run(query, keys, values, others, longest=longest)
    assert torch.equal(alone.output[0], beside.output[0])
    assert torch.equal(alone.lse[0], beside.lse[0])


def test_garbage_in_dead_slots_does_not_matter(rng):
    query, keys, values, lengths = make(rng)
    dead = torch.arange(keys.shape[2]) >= lengths[..., None]
    clean = run(query, keys, values, lengths)
    keys[dead] = 1e30
    values[dead] = -1e30
    dirty = run(query, keys, values, lengths)
    assert torch.equal(clean.output, dirty.output)
    assert torch.equal(clean.lse, dirty.lse)
    assert torch.equal(
        mass(query, keys, lengths, dirty.lse, 0.3)[dead], torch.zeros(dead.sum().item(), dtype=torch.float32)
    )


PAGES = {  # what each (KV head, query head) may read, as lists of pages of 16 slots; 100 slots are live
    "kv_head": torch.tensor([[[0, 6, -1], [5, -1, -1]]], dtype=torch.int32),
    "query_head": torch.tensor([[[[0, 2, -1], [6, -1, -1]], [[1, 0, 5], [-1, -1, 4]]]], dtype=torch.int32),
}


@pytest.mark.parametrize("kind", PAGES)
def test_pages_restrict_what_is_read(rng, kind):
    query, keys, values, lengths = make(rng, rows=1)
    lengths.fill_(100)
    pages = PAGES[kind]
    output, lse = run(query, keys, values, lengths, pages=pages, page=16)
    per_query_head = pages if pages.dim() == 4 else pages[:, :, None].expand(-1, -1, 2, -1)
    for h, g in ((0, 0), (0, 1), (1, 0), (1, 1)):
        slots = [s for page in per_query_head[0, h, g].tolist() if page >= 0 for s in range(16 * page, 16 * page + 16)]
        live = torch.tensor([s for s in slots if s < 100])
        expected, expected_lse, _ = softmax(query[0, h, g], keys[0, h], values[0, h], live)
        torch.testing.assert_close(output[0, h, g].double(), expected, rtol=1e-5, atol=5e-6)
        torch.testing.assert_close(lse[0, h, g].double(), expected_lse, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        # pages 0 and the 4 slots of 6; page 5
        ("kv_head", 16 + 4 + 16),
        # pages 0, 2 and 6; 0 and 1 whole, 4 and 5 too
        ("query_head", 16 + 16 + 4 + 4 * 16),
    ],
)
def test_slots_read_are_counted_once_a_kv_head(kind, read):
    total, lengths = torch.tensor([7, 7]), torch.full((2, 2), 100, dtype=torch.int32)
    pages = PAGES[kind].expand(2, *PAGES[kind].shape[1:])
    add_reads(total, lengths, torch.tensor([1, 0]), pages=pages, page=16, num_slots=128)
    assert total.tolist() == [7 + read, 7]


def test_without_pages_all_live_slots_are_read():
    total = torch.tensor([7, 7])
    lengths = torch.tensor([[3, 5], [100, 100]], dtype=torch.int32)
    add_reads(total, lengths, torch.tensor([1, 0]), pages=None, page=16, num_slots=128)
    assert total.tolist() == [15, 7]


def test_all_pages_is_all_slots_bit_for_bit(rng):
    query, keys, values, lengths = make(rng)
    pages = torch.arange(keys.shape[2] // 16).expand(3, 2, -1)
    some = run(query, keys, values, lengths, pages=pages, page=16)
    assert torch.equal(some.output, run(query, keys, values, lengths).output)


@pytest.mark.parametrize("groups", [1, 5])
def test_mass_is_the_mean_probability_of_the_group(rng, groups):
    query, keys, values, lengths = make(rng, groups=groups)
    weights = mass(query, keys, lengths, run(query, keys, values, lengths).lse, 0.3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2))
    for b, h in torch.cartesian_prod(torch.arange(3), torch.arange(2)).tolist():
        live = torch.arange(lengths[b, h])
        per_head = [softmax(query[b, h, g], keys[b, h], values[b, h], live)[2] for g in range(groups)]
        expected = torch.zeros(keys.shape[2], dtype=torch.float64)
        expected[live] = torch.stack(per_head).mean(0)
        torch.testing.assert_close(weights[b, h].double(), expected, rtol=1e-4, atol=1e-7)


def test_output_has_the_dtype_of_the_query(rng):
    query, keys, values, lengths = make(rng)
    whole = run(query, keys, values, lengths)
    half = run(query.bfloat16(), keys.bfloat16(), values.bfloat16(), lengths)
    assert (half.output.dtype, half.lse.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(half.output.float(), whole.output, rtol=0.1, atol=0.05)
