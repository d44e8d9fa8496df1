"""InertiaKV: drop the tokens that are attended to least, where what a query sees counts less the longer ago it was.

arXiv 2609.03515 (EMNLP 2026), reconstructed from a description of the paper; its code was not seen. At every step the
importance of a token becomes alpha times what it was plus (1 - alpha) times its true attention probability (over all
live slots) from the newest query. Here the factor 1 - alpha, which changes no order, is left out, so that one method
spans two others: alpha 1 is H2O without its own recent slots, alpha 0 is TOVA of each KV head for itself.

`refresh` is the paper's Lazy form: only every so many steps (4 there) a query counts. The Score-Free form, in which the
first decode step scores and no other ever does, is `refresh=0`. Both are taken at the rounds from the queries of the
steps since the last one, whose slots are all live still; so `interval` is at most `recent`.

Deviations: one set per KV head, by the mean of its group; a row evicts every `interval` steps (the authors: every
step); the prompt's queries count as if they had been decoded one after the other; the newest `recent` slots stay. Where
`refresh` is not 1: a step counts whose position is a multiple of it, and of the steps before the first round the last
`interval` alone, the oldest of which is the one that scores where `refresh` is 0. What came after it has no score: it
outlives all that has one, and its oldest go first (the paper's order among them was not to be had).

B rows, H KV heads, N slots, W kept queries.
"""

from dataclasses import dataclass

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from .policy import UNSEEN, Eviction, LayerView, Needs
from .scores import asked_at, query_shares, seen_by_window


@dataclass(frozen=True, kw_only=True)
class InertiaKV(Eviction):
    alpha: float = 0.8  # what is left of an importance after a step that counts
    refresh: NonNegativeInt = 1  # steps from one that counts to the next; 0: the first alone

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"method.alpha={self.alpha}: use 0 (the newest query alone) to 1 (all queries alike)")
        if self.refresh != 1 and not 1 <= self.budget.interval <= self.budget.recent:
            raise ValueError(
                f"method.refresh={self.refresh} with budget.interval={self.budget.interval} and "
                f"recent={self.budget.recent}: an interval of 1 to recent, or refresh=1"
            )

    @property
    def needs(self) -> Needs:
        if self.refresh == 1:
            return Needs(mass=True, decay=self.alpha)
        return Needs(queries=self.budget.interval, remembered=True)

    def score(self, view: LayerView) -> Tensor:
        if self.refresh == 1:
            return view.mass
        importance = self.remember(view)
        unscored = 2 + view.positions.float()  # a share is at most 1
        return torch.where(importance == UNSEEN, unscored, importance)

    def remember(self, view: LayerView) -> Tensor:
        """[B, H, N]: the importance of each slot after the steps since the last round."""
        seen = seen_by_window(view)  # [B, H, W, N]
        shares = torch.stack(list(query_shares(view, seen))).mean(0).masked_fill(~seen, 0)
        if not self.refresh:
            first = shares[:, :, 0].masked_fill(~seen[:, :, 0], UNSEEN)
            return torch.where((view.round == 0)[:, None, None], first, view.remembered)
        counts = (asked_at(view) >= 0) & (asked_at(view) % self.refresh == 0)  # [B, H, W]
        later = counts.flip(-1).cumsum(-1).flip(-1) - counts.int()
        weights = counts * torch.tensor(self.alpha, device=later.device) ** later
        before = view.remembered.clamp(min=0) * self.alpha ** counts.sum(-1, keepdim=True)
        return (before + (weights[..., None] * shares).sum(2)).masked_fill(~view.live, UNSEEN)
