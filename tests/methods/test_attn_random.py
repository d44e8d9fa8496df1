"""Attention with random slots, by hand."""

import pytest
import torch
from kvarena.methods.attn_random import AttnRandom


def test_two_random_ones_then_the_most_attended(view_of, kept, budget, monkeypatch):
    """Attention falls from slot 0 to slot 6, which is recent. The noise prefers 5 and 3."""
    keys = torch.tensor([6.0, 5, 4, 3, 2, 1, 0])[None, None, :, None] * torch.tensor([2**0.5, 0])
    noise = torch.tensor([0.1, 0.2, 0.3, 0.8, 0.4, 0.9, 1.0])[None, None]
    monkeypatch.setattr("kvarena.methods.attn_random.slot_uniform", lambda view: noise)
    for n_random, expected in ((0, [0, 1, 2, 6]), (1, [0, 1, 5, 6]), (2, [0, 3, 5, 6]), (3, [3, 4, 5, 6])):
        policy = AttnRandom(budget=budget(4), smooth=1, n_random=n_random)
        assert kept(policy, view_of(policy, keys, keys, queries=[[1.0, 0]])) == [[expected]]


def test_more_random_slots_than_the_budget_are_refused(budget):
    with pytest.raises(ValueError, match="n_random=8: use 0 to 7"):
        AttnRandom(budget=budget(10, recent=3), n_random=8)
