"""R-KV: importance minus redundancy, so that near-duplicates go first.

Cai et al., 2025, arXiv 2505.24133. `RKVVaSE` is R-KV as VaSE's release re-implements it (mode `attn_rkv`): importance
is its SnapKV score over a window of 64, redundancy the softmax of mean cosine similarity, lambda 0.5, no similarity
threshold. The authors' own version differs in all of these. Deviations from the release: float32 throughout (bfloat16
leaves about 42 levels of redundancy at 4,096 tokens), means in O(N D).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import LayerView
from .scores import mean_cosine
from .snapkv import SnapKV


@dataclass(frozen=True, kw_only=True)
class RKVVaSE(SnapKV):
    lam: float = 0.5  # weight of importance; 1 - lam that of redundancy

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lam <= 1:
            raise ValueError(f"method.lam={self.lam}: lambda lies in 0..1")

    def redundancy(self, view: LayerView) -> Tensor:
        """[B, H, N]: sums to 1 over the candidates."""
        return mean_cosine(view).masked_fill(~view.candidates, -torch.inf).softmax(-1)

    def score(self, view: LayerView) -> Tensor:
        return self.lam * self.importance(view) - (1 - self.lam) * self.redundancy(view)
