"""How the next token is chosen from the logits.

B rows, V tokens of the vocabulary.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from ...kernels import noise
from ...kernels.noise import Noise
from .penalties import History, Penalties

COLDEST = 1e-30  # of a lower temperature float32 has no quotient of logits


class Sampler(Protocol):
    stochastic: ClassVar[bool]  # whether two draws of a sample may differ

    def history(self, batch_size: int, longest: int, num_tokens: int, device: torch.device) -> History | None:
        """What penalises the logits that it is handed, as `Penalties`."""
        ...

    def __call__(self, logits: Tensor, rows: Noise, step: Tensor) -> Tensor:
        """Token ids [B] from logits [B, V]; `step` [B] counts the tokens a row has chosen before."""
        ...


@dataclass(frozen=True, kw_only=True)
class Greedy(Penalties):
    stochastic: ClassVar[bool] = False

    def __call__(self, logits: Tensor, rows: Noise, step: Tensor) -> Tensor:
        return logits.argmax(-1)


@dataclass(frozen=True, kw_only=True)
class Sampling(Penalties):
    """Temperature, then top-k, then top-p, in the order of Hugging Face's generate; drawn by Gumbel noise."""

    stochastic: ClassVar[bool] = True
    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature < COLDEST:
            raise ValueError(f"sampler.temperature={self.temperature}: use {COLDEST} or more, or sampler=greedy")
        if self.top_k < 0:
            raise ValueError(f"sampler.top_k={self.top_k}: use 0 for all tokens, or a positive count")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampler.top_p={self.top_p}: use a share above 0 and at most 1")

    def support(self, logits: Tensor) -> Tensor:
        """[B, V] float32 scaled logits, -inf for tokens that may not be drawn."""
        logits = logits.float() / self.temperature
        if self.top_k:
            kth = logits.topk(min(self.top_k, logits.shape[-1]), -1).values[:, -1:]
            logits = logits.masked_fill(logits < kth, -torch.inf)
        if self.top_p < 1:
            ordered, index = logits.sort(dim=-1, descending=True, stable=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            cut = torch.zeros_like(before, dtype=torch.bool).scatter_(-1, index, before >= self.top_p)
            logits = logits.masked_fill(cut, -torch.inf)
        return logits

    def __call__(self, logits: Tensor, rows: Noise, step: Tensor) -> Tensor:
        tokens = torch.arange(logits.shape[-1], device=logits.device)[None]
        return (self.support(logits) + rows.gumbel(tokens, 0, step[:, None], noise.SAMPLER)).argmax(-1)
