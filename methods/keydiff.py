"""KeyDiff: keep the keys that point least in the mean direction of all keys.

Park et al., 2025, arXiv 2504.15364. Deviations: the authors evict block by block while the prompt is read, here it is
every `interval` decode steps; the recent slots stay.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import normalize

from .policy import Eviction, LayerView


@dataclass(frozen=True, kw_only=True)
class KeyDiff(Eviction):
    def score(self, view: LayerView) -> Tensor:
        units = normalize(view.keys.float(), dim=-1).masked_fill(~view.live[..., None], 0)
        mean = normalize(units.sum(2), dim=-1)
        return -(units @ mean[..., None]).squeeze(-1)
