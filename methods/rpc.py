"""RPC: of all that was said keep a part, which grows with it, by what the newest queries attend to.

Reasoning path compression. Song, Jo, Kim, Kim, 2025, arXiv 2505.13866, as released (jiwonsong-dev/
ReasoningPathCompression, eb0b5fd): every 1,024 tokens a quarter of all tokens behind the prompt stays, by the attention
of the newest 32, which stay beside it as the prompt does. `compression.share=0.25` is that schedule; any other budget
is this score alone. A token's score is its mean attention over all query heads of the layer and over the window,
smoothed over 7 neighbours by position, so every KV head keeps the same set. The softmax and the smoothing are over what
may go alone.

Deviations: the newest query counts once (the release puts it into its window twice, and 30 before it); float32.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from .policy import LayerView
from .scores import mean_over_heads
from .snapkv import SnapKV


@dataclass(frozen=True, kw_only=True)
class RPC(SnapKV):
    same_heads: ClassVar[bool] = True
    smooth: int = 7

    def score(self, view: LayerView) -> Tensor:
        return mean_over_heads(self.importance(replace(view, candidates=view.evictable)), view)
