"""Certificate: what a method that draws has kept stands for what went, so each step knows how far its attention is off.

After Xie, 2026, arXiv 2607.21475, of which no code is known: reconstructed. A slot that stayed by a chance of pi counts
1 / pi times in the softmax (log(1 / pi) is added to its logit), so numerator and denominator of the attention are on
average those of all tokens; pi is the product over the rounds that it has stood. What the kept slots say of the
variance is taken down at each step: no function of what a deterministic method keeps can know its own error.

Deviations: the paper draws each slot by itself, so that their number varies; here the budget is exact, and pi is that
of a slot given what was drawn for the others (the highest victim is what it had to exceed). Sums stay right on average,
and errors of two slots unrelated, where two or more are drawn (Cohen and Kaplan, 2007; Kool et al., 2019, for Gumbel
noise). Where none is, nothing stands for what went, and the error is stated as 0: refused where the budget says so, but
a protected prompt, or a share of few tokens, may leave VaSE's large values no room for a draw. Which slots are sure,
and the weights of a draw, are the method's own, whose score does not see the bias. The variance is a jackknife: the
linear form says too little where few tokens have most (analysis/results/certificate).
Recorded is one number a step: the root of the variance over the squared norm of the output, both summed over heads;
mean over layers.

B rows, H KV heads, N slots.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .allocation import Allocation
from .policy import LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class Certificate(Allocation):
    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.of.draws_slots or not self.of.by_score:
            raise ValueError(
                f"method.of={type(self.of).__name__} draws no slots by chances that are known, so nothing can be said "
                "of what went: use method@method.of=vase_attnv, random or another that draws, with room to: "
                "fewer method.of.n_large, or more compression.tokens"
            )

    @property
    def needs(self) -> Needs:
        return replace(self.of.needs, bias=True, error=True)

    def weigh(self, view: LayerView, keep: Tensor) -> Tensor:
        chance = self.of.chance(view, keep).clamp(min=torch.finfo(torch.float32).tiny)
        return (view.bias - chance.log()).masked_fill(~keep, 0)
