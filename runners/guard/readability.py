"""How much of the tokens the best linear probe explains, so that a gradient can lower it.

The probe is the ridge of `readout`, in closed form, fitted on some slots and asked of others; what it explains is 1
less its squared error over that of the mean. A probe is fitted anew at every step: the guard is never trained against
one that stands still.

L layers, H KV heads, n and m slots, F channels, C words.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def readability(fitted: Tensor, words: Tensor, asked: Tensor, truth: Tensor, penalty: float) -> Tensor:
    """[L, H] in [0, 1]: of tokens truth [m] from columns asked [L, H, m, F], by probes fitted on [L, H, n, F].

    These are of tokens words [n]. A probe that says less than the mean explains 0.
    """
    count = int(max(words.max(), truth.max())) + 1
    target, wanted = (one_hot(each, count).to(fitted.dtype) for each in (words, truth))
    mean, spread = fitted.mean(2, keepdim=True), fitted.std(2, keepdim=True, correction=0).clamp(min=1e-6)
    inputs, middle = (fitted - mean) / spread, target.mean(0)
    damping = penalty * len(words) * torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)
    weight = torch.linalg.solve(inputs.mT @ inputs + damping, inputs.mT @ (target - middle))
    error = wanted - middle - (asked - mean) / spread @ weight
    explained = 1 - error.square().sum((-2, -1)) / (wanted - middle).square().sum()
    return explained.clamp(min=0)
