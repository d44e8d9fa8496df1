"""LongFlow: drop the tokens that add least to the attention output of the newest query.

Su et al., 2026, arXiv 2603.11504, as released (yisunlp/LongFLow, 89a68d3). The score of a token is the mean over all
query heads of the layer and all channels of |a v|, its true attention probability (over all live slots) from the newest
query alone times its value; every KV head keeps the same set.

Deviations from the release: it drops one token a step, of all tokens the lowest, inside its attention kernel, where the
next token overwrites the slot; here a row drops every `interval` steps, by the query of that step (`interval` 1, the
default, is its pace), and the newest token always stays. It cuts a long prompt by SnapKV with a window of 32, here the
prompt's last query decides. Probabilities and products are float32, not of the model's dtype.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .scores import mean_over_heads, mean_softmax


@dataclass(frozen=True, kw_only=True)
class LongFlow(Eviction):
    same_heads: ClassVar[bool] = True

    @property
    def needs(self) -> Needs:
        return Needs(queries=1)

    def score(self, view: LayerView) -> Tensor:
        # a group shares its values
        share = mean_softmax(view, view.live[:, :, None])
        return mean_over_heads(share * view.values.float().abs().mean(-1), view)
