"""How probable what was said is, and what was most probable: kept on the device until a text has ended.

B rows, R of them whose token is chosen, T tokens of a completion, K most probable, V tokens of the vocabulary.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Logprobs(NamedTuple):
    """Natural logarithms of probabilities before one token: after penalties; before temperature, top-k and top-p."""

    chosen: float  # of the token that was said
    top: dict[int, float]  # of the K most probable tokens, most probable first


class MostProbable:
    """Takes down steps on the device alone, in tensors that stay in place, so that a step can be captured."""

    def __init__(self, num_top: int, batch_size: int, longest: int, num_tokens: int, device: torch.device) -> None:
        if num_top > num_tokens:
            raise ValueError(f"logprobs={num_top}: the model has {num_tokens} tokens, ask for at most these")
        self.num_top = num_top
        self._top_ids = torch.zeros(batch_size, longest, num_top, dtype=torch.int64, device=device)
        self._top = torch.zeros(batch_size, longest, num_top, device=device)
        self._chosen = torch.zeros(batch_size, longest, device=device)

    def add(self, logits: Tensor, tokens: Tensor, rows: Tensor, num_chosen: Tensor) -> None:
        """Tokens [R] are said by logits [R, V], -1 where none is."""
        at = rows, num_chosen.clamp(max=self._chosen.shape[1] - 1)  # an idle row counts on
        logs = logits.float().log_softmax(-1)
        top = logs.topk(self.num_top)
        self._top_ids[at], self._top[at] = top.indices, top.values
        self._chosen[at] = logs.gather(1, tokens.clamp(min=0)[:, None])[:, 0]

    def move(self, row: int, to: int) -> None:
        for column in (self._top_ids, self._top, self._chosen):
            column[to] = column[row]

    def of(self, row: int, length: int) -> list[Logprobs]:
        """Of a text of so many tokens."""
        columns = (column[row, :length].tolist() for column in (self._chosen, self._top_ids, self._top))
        return [Logprobs(chosen, dict(zip(ids, top, strict=True))) for chosen, ids, top in zip(*columns, strict=True)]
