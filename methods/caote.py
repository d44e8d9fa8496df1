"""CAOTE: drop the tokens whose absence changes the attention output least.

Goel et al., 2025, arXiv 2504.14051. Without token j of attention a_j the output o of a head moves by
a_j / (1 - a_j) |v_j - o|, exactly; the score is that length. The attention is SnapKV's, unsmoothed: mean over the
window of recent queries and over the group, softmax over the candidates; o is the mean of their values by it.
Deviation: the group's mean attention stands for the one output that its query heads share here. The errors of several
tokens do not add up, so dropping more than one at a time is a heuristic, in the paper too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .scores import window_attention


@dataclass(frozen=True, kw_only=True)
class CAOTE(Eviction):
    @property
    def needs(self) -> Needs:
        return Needs(queries=self.budget.recent)

    def score(self, view: LayerView) -> Tensor:
        attention, values = window_attention(view), view.values.float()
        distance = (values - attention[:, :, None] @ values).norm(dim=-1)
        rest = 1 - attention
        # one token with all the attention leaves no output to compare with
        return (attention * distance / rest.clamp(min=1e-6)).masked_fill(rest < 1e-6, torch.inf)
