"""What a model masks is seen however far it begins."""

import pytest
import torch
from kvarena.runners.model.masks import checked_mask
from transformers.masking_utils import (
    bidirectional_mask_function,
    blockwise_overlay,
    causal_mask_function,
    chunked_causal_mask_function,
    or_masks,
    sliding_window_causal_mask_function,
)

CPU = torch.device("cpu")


def test_a_causal_mask_is_none():
    assert checked_mask(mask_function=causal_mask_function, device=CPU) is None


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (sliding_window_causal_mask_function(4), "a token at position 7 does not see the one at 0"),
        (sliding_window_causal_mask_function(32_768), "a token at position 100000 does not see the one at 0"),
        (chunked_causal_mask_function(8_192, torch.tensor([0])), "a token at position 10000 does not see the one at 0"),
        (bidirectional_mask_function, "a token at position 0 sees the one at 1"),
    ],
    ids=["window", "long_window", "chunks", "bidirectional"],
)
def test_another_one_says_what_is_not_seen(mask, why):
    assert checked_mask(mask_function=mask, device=CPU).why == f"{why}, so its attention is not plainly causal"


def test_a_mask_by_tokens_is_refused():
    image = or_masks(causal_mask_function, blockwise_overlay(torch.tensor([[-1, 0, 0, -1]])))
    with pytest.raises(ValueError, match="depends on more than positions"):
        checked_mask(mask_function=image, device=CPU)
