import pytest
from kvarena.analysis.answer_tokens import answer_tokens


@pytest.mark.parametrize(
    ("pieces", "places"),
    [
        (["<think>", "so", "</think>", " 1", " 2", "<|im_end|>"], [3, 4, 5]),
        (["so", "</th", "ink>1", " 2"], [2, 3]),  # a mark over two tokens
        (["a ", "\\boxed{", "3", "}", " or \\", "boxed", "{\\frac{1", "}{2}", "}", ".", "!"], [4, 5, 6, 7, 8]),
        (["\\boxed{1}", "</think>", "So \\boxed{2}", "."], [2]),
        (["\\boxed{1}", "</think>", "none"], [2]),  # what a thought boxes is no answer
        (["\\boxed{", "a\\}", "b", "}", "c"], [0, 1, 2, 3]),
        (["\\boxed{", "1", " and"], [0, 1, 2]),  # not closed
        (["</think>", "1", "<think>", "2"], []),  # another thought goes on
        (["<think>", "\\boxed{1}"], []),
        (["just", " text"], []),
        (["so", "</think>"], []),
        ([], []),
    ],
)
def test_which_tokens_are_the_answer(pieces, places):
    assert answer_tokens(pieces).nonzero()[0].tolist() == places
