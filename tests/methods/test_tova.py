import math

import torch
from kvarena.methods.tova import TOVA


def log_weights(*heads):
    """Keys [1, H, N, 1] that give a query of 1 these weights."""
    return torch.tensor(heads, dtype=torch.float32).log()[None, ..., None]


def test_the_token_that_all_heads_attend_to_least_goes(view_of, kept, budget):
    """Weights of two KV heads; each alone would drop another slot than their mean does."""
    policy = TOVA(budget=budget(4))
    view = view_of(policy, log_weights((1, 2, 3, 2, 2), (5, 1, 1, 2, 1)), queries=torch.ones(1, 2, 1, 1, 1))
    expected = torch.tensor([0.3, 0.15, 0.2, 0.2, 0.15])
    torch.testing.assert_close(policy.score(view), expected.expand(1, 2, 5))
    assert kept(policy, view) == [[[0, 2, 3, 4]] * 2]


def test_is_the_mean_softmax_of_the_newest_query_over_all_slots(view_of, budget, rng):
    """Two KV heads of three query heads, the same positions in other slots, two slots not live."""
    policy = TOVA(budget=budget(4))
    keys, queries = torch.randn(1, 2, 9, 8, generator=rng), torch.randn(1, 2, 3, 1, 8, generator=rng)
    positions = torch.tensor([[[7, 0, -1, 3, 5, 1, -1, 9, 2], [-1, 2, 9, 7, 1, 0, 3, 5, -1]]])
    view = view_of(policy, keys, queries=queries, positions=positions)
    score = policy.score(view)
    for position in (0, 1, 2, 3, 5, 7, 9):
        share = 0
        for head in (0, 1):
            live = positions[0, head] >= 0
            for query in queries[0, head, :, 0]:
                logits = keys[0, head, live].double() @ query.double() / math.sqrt(8)
                share += logits.softmax(0)[positions[0, head, live] == position].item() / 6
        torch.testing.assert_close(score[positions.expand_as(score) == position], torch.tensor([share] * 2))


def test_asks_for_the_newest_query_alone(budget):
    assert TOVA(budget=budget(4, recent=2)).needs.queries == 1
