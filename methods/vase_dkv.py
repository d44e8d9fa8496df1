"""VaSE-DKV: CurDKV with a projection drawn anew every round, so that no token goes because of one unlucky direction.

VaSE, value-aware stochastic eviction, 2026, arXiv 2606.03928 (mode `cur_resample_gauss`). The first round is CurDKV's.
"""

from dataclasses import dataclass

from torch import Tensor

from .curdkv import CurDKVVaSE
from .policy import LayerView
from .scores import projection


@dataclass(frozen=True, kw_only=True)
class VaSEDKV(CurDKVVaSE):
    def projection(self, view: LayerView) -> Tensor:
        return projection(view, view.round, self.rank)
