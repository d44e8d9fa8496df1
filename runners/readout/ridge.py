"""A linear probe in closed form: ridge regression onto the words, of which the highest is what it reads.

n examples, F features, C words that stand among the targets.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Ridge(NamedTuple):
    mean: Tensor  # [F], of the examples it was fitted on
    spread: Tensor  # [F]
    weight: Tensor  # [F + 1, C], the last row of a feature that is 1
    words: Tensor  # [C] int64

    @classmethod
    def fit(cls, features: Tensor, targets: Tensor, penalty: float) -> "Ridge":
        """Of features [n, F] and targets [n]; the penalty is on each weight of a feature of variance 1, a share of n.

        The argument of the least of |X W - Y|^2 + penalty n |W|^2 is (X'X + penalty n I)^-1 X'Y.
        """
        features = features.double()
        mean, spread = features.mean(0), features.std(0, correction=0).clamp(min=1e-9)
        words, index = targets.unique(return_inverse=True)
        inputs = with_one((features - mean) / spread)
        damping = torch.full((inputs.shape[1],), penalty * len(inputs), dtype=inputs.dtype, device=inputs.device)
        damping[-1] = 0
        gram = inputs.T @ inputs + damping.diag()
        weight = torch.linalg.solve(gram, inputs.T @ one_hot(index, len(words)).to(inputs.dtype))
        return cls(mean, spread, weight, words)

    def read(self, features: Tensor) -> Tensor:
        """[n] int64: a word each."""
        return self.words[(with_one((features.double() - self.mean) / self.spread) @ self.weight).argmax(-1)]


def with_one(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], -1)
