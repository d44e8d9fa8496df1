"""What stands in the sampler's place while texts are forced through the decode loop.

It takes down what the output projection would see. A step does that on the device, in tensors that stay in place, so
it can be captured; distributions are made when a text has ended, many of its tokens at a time.

B rows, R of them whose next token is chosen, T tokens of the longest text, E hidden size.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..generate import Request
from ..model import Model, output_projection
from .drift import Drift, compare_states

Key = tuple[str, int]  # sample and draw
States = Mapping[Key, Tensor]  # [T, E] of each text, before its tokens are said


class Scribe:
    """Says the completions of its requests; of a text that has ended it hands over the states before each token."""

    def __init__(self, model: Model, *, batch_size: int, longest: int) -> None:
        self.head = output_projection(model)
        weight = self.head.weight
        self._tokens = torch.zeros(batch_size, longest, dtype=torch.int64, device=weight.device)
        self._states = torch.zeros(batch_size, longest, weight.shape[1], dtype=weight.dtype, device=weight.device)

    def admitted(self, row: int, request: Request) -> None:
        self._tokens[row, : len(request.completion)] = torch.tensor(request.completion, device=self._tokens.device)

    def move(self, row: int, to: int) -> None:
        self._tokens[to], self._states[to] = self._tokens[row], self._states[row]

    def __call__(self, states: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        at = rows, count.clamp(max=self._tokens.shape[1] - 1)  # an idle row counts on
        self._states[at] = states
        return self._tokens[at]

    def released(self, row: int, length: int) -> Any:
        """[T, E], in the memory of the host."""
        return self._states[row, :length].to("cpu", copy=True)


class Examiner(Scribe):
    """Of a method, beside the states of dense: hands over how far the two drift apart."""

    def __init__(self, model: Model, *, batch_size: int, longest: int, states: States) -> None:
        super().__init__(model, batch_size=batch_size, longest=longest)
        self.states = states
        self._keys: dict[int, Key] = {}  # whose text a row says

    def admitted(self, row: int, request: Request) -> None:
        super().admitted(row, request)
        self._keys[row] = request.key

    def move(self, row: int, to: int) -> None:
        super().move(row, to)
        self._keys[to] = self._keys.pop(row)

    def released(self, row: int, length: int) -> Drift:
        own, said, key = self._states[row, :length], self._tokens[row, :length], self._keys.pop(row)
        drift = compare_states(self.head, self.states[key][:length].to(own.device), own, said)
        if (place := drift.broken) is not None:
            raise ValueError(
                f"text {key[0]}: KL before its token {place} is {drift.kl[place]}, the numbers of dense or of the "
                "method overflow there: give another model.dtype or cache"
            )
        return drift
