"""What stands in the sampler's place while texts are forced through the decode loop.

A `Scribe` takes down what dense's output projection sees; an `Examiner` makes dense's distributions of that again and
holds the model's beside them. All that they do in a step they do on the device, in tensors that stay in place, so a
step can be captured.

B rows, R of them whose next token is chosen, T tokens of the longest text, E hidden size, V tokens of the vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..generate import Request
from ..model import Model, output_projection
from .drift import Drift, compare_logits

Key = tuple[str, int]  # sample and draw
States = Mapping[Key, Tensor]  # [T, E] of each text, before its tokens are said


class Forced(ABC):
    """Says the completions of its requests."""

    def __init__(self, model: Model, *, batch_size: int, longest: int) -> None:
        self.head = output_projection(model)
        weight = self.head.weight
        self._tokens = torch.zeros(batch_size, longest, dtype=torch.int64, device=weight.device)
        self._states = torch.zeros(batch_size, longest, weight.shape[1], dtype=weight.dtype, device=weight.device)
        self._seen = torch.empty(0)  # [R, 1, E] of the model's last call
        self._hook = self.head.register_forward_pre_hook(self._see)

    def _see(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._seen = arguments[0]

    def logits(self, states: Tensor) -> Tensor:
        """[R, V] of last hidden states [R, 1, E], as the model makes them: the same product of the same shape."""
        return nn.functional.linear(states, self.head.weight, self.head.bias)[:, -1]

    def close(self) -> None:
        """Look at the model no longer."""
        self._hook.remove()

    def admitted(self, row: int, request: Request, logits: Tensor) -> None:
        if not torch.equal(logits, self.logits(self._seen)):
            raise ValueError("the model does more to its logits than its output projection: no fidelity of this family")
        self._tokens[row, : len(request.completion)] = torch.tensor(request.completion, device=self._tokens.device)

    def __call__(self, logits: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        at = rows, count.clamp(max=self._tokens.shape[1] - 1)  # an idle row counts on
        token = self._tokens[at]
        self.look(logits, token, at)
        return token

    @abstractmethod
    def look(self, logits: Tensor, token: Tensor, at: tuple[Tensor, Tensor]) -> None:
        """Take note of logits [R, V] before a token [R] is said; `at` is its row and its index in the text."""

    @abstractmethod
    def released(self, row: int, length: int) -> Any: ...


class Scribe(Forced):
    """Of dense."""

    def look(self, logits: Tensor, token: Tensor, at: tuple[Tensor, Tensor]) -> None:
        self._states[at] = self._seen[:, -1]

    def released(self, row: int, length: int) -> Tensor:
        """[T, E], in the memory of the host."""
        return self._states[row, :length].to("cpu", copy=True)


class Examiner(Forced):
    """Of a method, beside the states of dense."""

    def __init__(self, model: Model, *, batch_size: int, longest: int, states: States) -> None:
        super().__init__(model, batch_size=batch_size, longest=longest)
        self.states = states
        self._table = torch.zeros(*self._tokens.shape, 4, device=self._tokens.device)

    def admitted(self, row: int, request: Request, logits: Tensor) -> None:
        super().admitted(row, request, logits)
        states = self.states[request.sample, request.draw]
        self._states[row, : len(states)] = states

    def look(self, logits: Tensor, token: Tensor, at: tuple[Tensor, Tensor]) -> None:
        self._table[at] = compare_logits(self.logits(self._states[at][:, None]), logits, token)

    def released(self, row: int, length: int) -> Drift:
        return Drift.of(self._table[row, :length].cpu())
