import pytest
import torch
from kvarena.methods.streaming import StreamingLLM


@pytest.mark.parametrize(
    ("sinks", "tokens", "expected"),
    [
        (2, 5, [0, 1, 7, 8, 9]),
        (0, 5, [5, 6, 7, 8, 9]),
        (4, 8, [0, 1, 2, 3, 6, 7, 8, 9]),
    ],
    ids=["sinks_and_newest", "sliding_window", "four_sinks"],
)
def test_sinks_and_the_newest_stay(view_of, kept, budget, sinks, tokens, expected):
    policy = StreamingLLM(budget=budget(tokens, sinks=sinks))
    order = torch.tensor([4, 9, 0, 2, 8, 1, 3, 7, 5, 6])
    assert kept(policy, view_of(policy, torch.randn(10, 2), positions=order)) == [[expected]]
