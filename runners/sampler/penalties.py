"""What a row has said takes from what it may say next, as transformers' processors of these names have it.

B rows, R of them, N tokens that a row has room for, n tokens of an n-gram, V tokens of the vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from ...methods.settings import check_types


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """Neutral by default. A prompt has been said too; everything is of fixed shape, to be captured in a CUDA graph."""

    repetition_penalty: float = 1.0  # a logit of what was said is divided by it, a negative one multiplied
    no_repeat_ngram_size: NonNegativeInt = 0  # no n-gram of this size comes twice; 0: any may
    suppress_tokens: Sequence[NonNegativeInt] = ()  # never said

    def __post_init__(self) -> None:
        check_types("sampler", self)
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"sampler.repetition_penalty={self.repetition_penalty}: use a positive number, 1 for none")

    def history(self, batch_size: int, longest: int, num_tokens: int, device: torch.device) -> "History | None":
        """What rows of at most `longest` tokens say, under these penalties; None: there are none."""
        if foreign := [token for token in self.suppress_tokens if token >= num_tokens]:
            raise ValueError(f"sampler.suppress_tokens={foreign}: the model has {num_tokens} tokens")
        if self.repetition_penalty == 1 and not self.no_repeat_ngram_size and not self.suppress_tokens:
            return None
        return History(self, batch_size, longest, device)


class History:
    """What rows have said so far, on the device and always in the same place."""

    def __init__(self, penalties: Penalties, batch_size: int, longest: int, device: torch.device) -> None:
        self.penalties = penalties
        # [B, N]; behind the last token stands the first again, so that a row's set is whole whatever its length
        self.said = torch.zeros(batch_size, longest, dtype=torch.int64, device=device)
        self.lengths = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.suppressed = torch.tensor(list(penalties.suppress_tokens), dtype=torch.int64, device=device)

    def begin(self, row: int, prompt: Sequence[int]) -> None:
        self.said[row] = prompt[0]
        self.said[row, : len(prompt)] = torch.tensor(list(prompt), device=self.said.device)
        self.lengths[row] = len(prompt)

    def move(self, row: int, to: int) -> None:
        self.said[to], self.lengths[to] = self.said[row], self.lengths[row]

    def add(self, rows: Tensor, tokens: Tensor) -> None:
        """What rows [R] say next, -1 for nothing; of a row that has ended it is overwritten."""
        at = self.lengths[rows].clamp(max=self.said.shape[1] - 1)
        self.said[rows, at] = torch.where(tokens < 0, self.said[rows, 0], tokens)
        self.lengths[rows] = at + 1

    def penalised(self, logits: Tensor, rows: Tensor) -> Tensor:
        """[R, V] float32 of the logits [R, V] of rows [R]."""
        logits, said = logits.float(), self.said[rows]
        penalty, size = self.penalties.repetition_penalty, self.penalties.no_repeat_ngram_size
        if penalty != 1:
            own = logits.gather(1, said)
            logits = logits.scatter(1, said, torch.where(own < 0, own * penalty, own / penalty))
        if 0 < size <= said.shape[1]:
            banned = completing(said, self.lengths[rows], size, logits.shape[1])
            logits = logits.masked_fill(banned, -torch.inf)
        return logits.index_fill(1, self.suppressed, -torch.inf)


def completing(said: Tensor, lengths: Tensor, size: int, num_tokens: int) -> Tensor:
    """[R, V] bool: tokens that would end an n-gram that has been said."""
    windows = said.unfold(1, size, 1)  # [R, N - n + 1, n]
    place = torch.arange(windows.shape[1], device=said.device)
    newest = lengths[:, None] - size + 1 + torch.arange(size - 1, device=said.device)
    last = said.gather(1, newest.clamp(min=0))  # [R, n - 1]
    same = (windows[..., :-1] == last[:, None]).all(-1) & (place + size <= lengths[:, None])
    counts = torch.zeros(len(said), num_tokens, dtype=torch.int32, device=said.device)
    return counts.scatter_add(1, windows[..., -1], same.int()) > 0
