"""What steps choose, on the device and always in the same place, until the host looks.

B rows.
"""

import torch
from torch import Tensor


class TokenBuffer:
    """Room for `most` steps between two looks."""

    def __init__(self, batch_size: int, most: int, device: torch.device) -> None:
        self.last = torch.zeros(batch_size, dtype=torch.int64, device=device)  # token of each row
        self.count = torch.zeros_like(self.last)  # tokens of each row so far
        self._since = torch.zeros(batch_size, most, dtype=torch.int64, device=device)  # the look
        self._column = torch.zeros(1, dtype=torch.int64, device=device)  # of `_since` that is next

    def first(self, rows: Tensor, tokens: Tensor) -> None:
        """Sequences begin in rows [R]."""
        self.last.index_copy_(0, rows, tokens.clamp(min=0))
        self.count.index_fill_(0, rows, 1)

    def add(self, tokens: Tensor) -> None:
        """A step's tokens, -1 where there is none: of all rows, or of the first ones."""
        rows = slice(len(tokens))
        self._since[rows].index_copy_(1, self._column, tokens[:, None])
        self.last[rows] = tokens.clamp(min=0)
        self.count[rows].add_(1)
        self._column.add_(1).remainder_(self._since.shape[1])

    def move(self, row: int, to: int) -> None:
        """After a look."""
        self.last[to], self.count[to] = self.last[row], self.count[row]

    def look(self, steps: int) -> list[list[int]]:
        """Of each row the tokens of so many steps, all there were since the last look."""
        tokens = self._since[:, :steps].tolist()
        self.restart()
        return tokens

    def restart(self) -> None:
        """No token was chosen since the last look."""
        self._column.zero_()
