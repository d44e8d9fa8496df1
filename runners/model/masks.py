"""What a token sees of the others, by the mask that a model makes for an attention that takes one.

Ours is causal and takes none. Under the name `MASKED` it is the same, but the model makes its masks, and hands over
what is wrong with them: a window or a chunk may be longer than any prompt of a probe.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from transformers import AttentionMaskInterface

MASKED = "kvarena_masked"
POSITIONS = (0, 1, 2, 3, 7, 100, 1_000, 10_000, 100_000, 1_000_000)


class NotCausal(NamedTuple):
    why: str


def checked_mask(*, mask_function: Callable, device: torch.device, **unused: Any) -> NotCausal | None:
    """None: a token sees all before it and none behind."""
    position, first = torch.tensor(POSITIONS, device=device), torch.tensor(0, device=device)
    asking, asked = position[:, None], position[None]
    try:
        wrong = (mask_function(first, first, asking, asked) != (asked <= asking)).nonzero().tolist()
    except IndexError as error:  # beyond the tokens of this sequence
        raise ValueError("what a token sees depends on more than positions") from error
    for at, there in ((POSITIONS[one], POSITIONS[other]) for one, other in wrong):
        sees = "does not see" if there < at else "sees"
        return NotCausal(f"a token at position {at} {sees} the one at {there}, so its attention is not plainly causal")
    return None


AttentionMaskInterface.register(MASKED, checked_mask)
