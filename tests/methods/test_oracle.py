import math

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.oracle import Oracle
from kvarena.runners.generate import generate


@pytest.fixture
def oracle(budget):
    return lambda tokens, **changes: Oracle(budget=budget(tokens), **changes)


def sets(chosen):
    """Of each row, head and, where they differ, query head."""
    return [sorted(slots.tolist()) for slots in chosen.flatten(0, -2)]


def test_the_most_attended_slots_are_read(oracle, view_of):
    """Logits 1, 4, -2, 3, 2 of a query of (1, -1); the newest is not special."""
    policy = oracle(3)
    view = view_of(policy, [[1, 0], [0, -4], [0, 2], [3, 0], [4, 2]])
    chosen = policy.read(torch.tensor([[[[1.0, -1.0]]]]), view)
    assert chosen.dtype == torch.int32
    assert sets(chosen) == [[1, 3, 4]]


def test_a_group_reads_by_its_summed_probabilities(oracle, view_of):
    """Keys 0, log 2, log 4 for queries 1 and -1: shares 1, 2, 4 of 7 and 4, 2, 1 of 7, so 5, 4, 5; then one is 3.

    Shares of a query of 3 are 1, 8, 64 of 73: with 4, 2, 1 of 7 the sums are 0.59, 0.40, 1.02.
    """
    keys = [[0.0], [math.log(2)], [math.log(4)]]
    policy = oracle(2)
    view = view_of(policy, keys)
    assert sets(policy.read(torch.tensor([[[[1.0], [-1.0]]]]), view)) == [[0, 2]]
    each = oracle(2, per_query_head=True).read(torch.tensor([[[[3.0], [-1.0]]]]), view)
    assert each.shape == (1, 1, 2, 2)
    assert sets(each) == [[1, 2], [0, 1]]


def test_dead_slots_are_not_read(oracle, view_of):
    """Also when a live slot's probability is 0 in float32."""
    policy = oracle(3)
    view = view_of(policy, [[500.0], [0], [300], [99]], positions=[0, 1, -1, -1])
    assert sets(policy.read(torch.tensor([[[[1.0]]]]), view)) == [[-1, 0, 1]]


def test_no_other_set_of_that_size_has_more_mass(oracle, view_of, rng):
    keys, query = torch.randn(1, 1, 9, 4, generator=rng), torch.randn(1, 1, 3, 4, generator=rng)
    mass = (query @ keys.mT / 2).softmax(-1).mean(2).flatten()
    chosen = oracle(4).read(query, view_of(oracle(4), keys)).flatten().long()
    best = torch.combinations(torch.arange(9), 4)
    torch.testing.assert_close(mass[chosen].sum(), mass[best].sum(-1).max())


@pytest.mark.parametrize("per_query_head", [False, True])
def test_tokens_read_are_accounted_per_kv_head(model, per_query_head):
    """Two query heads a KV head: one set of 5, or the union of two, above 5 and at most 10."""

    class Letters:
        def __call__(self, text, add_special_tokens):
            return type("Ids", (), {"input_ids": [ord(letter) % 64 for letter in text]})

    policy = Oracle(budget=Budget(tokens=5, recent=1, sinks=0), per_query_head=per_query_head)
    (done,) = generate(model, Letters(), ["a long enough prompt"], policy, max_tokens=20)
    assert done.text is None  # its tokenizer spells nothing
    if per_query_head:
        assert 5 < done.usage.tokens_read <= 10
    else:
        assert done.usage.tokens_read == 5
    # it holds everything and asks for nothing beside: keys, values and position of 39 slots, 3 layers, 2 heads
    assert done.usage.resident_bytes == 39 * 3 * 2 * (16 * 4 + 16 * 4 + 4)
