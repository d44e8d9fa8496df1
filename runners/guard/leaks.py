"""What is read of shared columns by probes that were fitted on columns of the same guard, on texts they have not seen.

Every other text is for fitting. A linear probe of each layer and head, as of kvarena-probe; a perceptron of each layer,
which sees all of its heads, and one of all layers together. Beside them stand `chance`, the most frequent token,
`shuffled`, a linear probe fitted on tokens in another order, and `place`, the most frequent token of a slot's position,
which is what the form of a prompt says without any cache.

L layers, H KV heads, n slots, F channels, C words.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..readout import Ridge
from ..readout.readings import check_enough, most_frequent, share

Row = dict[str, object]


class Shared(NamedTuple):
    """The slots of many prompts, one behind the other."""

    columns: Tensor  # [L, H, n, F]
    tokens: Tensor  # [n] int64
    position: Tensor  # [n] int64
    text: Tensor  # [n] int64, by its place among the texts

    @classmethod
    def of(cls, columns: list[Tensor], tokens: list[list[int]]) -> "Shared":
        device = columns[0].device
        flat = torch.tensor([token for each in tokens for token in each], device=device)
        position = torch.cat([torch.arange(len(each), device=device) for each in tokens])
        text = torch.cat([torch.full((len(each),), place, device=device) for place, each in enumerate(tokens)])
        return cls(torch.cat(columns, 2), flat, position, text)


@torch.no_grad()
def leaks(shared: Shared, penalty: float, hidden: int, steps: int, batch: int) -> Iterator[Row]:
    """A row a probe: `layer` and `head` are empty where it sees all of them."""
    fit = shared.text % 2 == 0
    words, truth = shared.tokens[fit], shared.tokens[~fit]
    place = most_frequent(shared.position[fit], words, shared.position[~fit])
    known = {"chance": share(words.mode().values, truth), "place": share(place, truth)}
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).to(words.device)
    for layer, of_layer in enumerate(shared.columns):
        for head, columns in enumerate(of_layer):
            check_enough(fit, columns)
            right, shuffled = (
                share(Ridge.fit(columns[fit], said, penalty).read(columns[~fit]), truth)
                for said in (words, words[order])
            )
            yield {"probe": "ridge", "layer": layer, "head": head, "right": right, **known, "shuffled": shuffled}
    joint = shared.columns.transpose(1, 2).flatten(2)  # [L, n, H F]
    for layer, columns in [*enumerate(joint), ("", joint.transpose(0, 1).flatten(1))]:
        read = perceptron(columns[fit], words, columns[~fit], hidden, steps, batch)
        right = share(read, truth)
        yield {"probe": "perceptron", "layer": layer, "head": "", "right": right, **known, "shuffled": ""}


@torch.enable_grad()
def perceptron(features: Tensor, words: Tensor, asked: Tensor, hidden: int, steps: int, batch: int) -> Tensor:
    """[m] int64: what a network of one hidden layer, fitted to [n, F] and words [n], reads of [m, F]."""
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    features, asked = (features.detach() - mean) / spread, (asked.detach() - mean) / spread
    draw = torch.Generator().manual_seed(0)
    sizes = (features.shape[1], hidden, int(words.max()) + 1)
    first, second = (torch.randn(o, i, generator=draw) / i**0.5 for i, o in pairwise(sizes))
    tensors = [first, torch.zeros(sizes[1]), second, torch.zeros(sizes[2])]
    tensors = [each.to(features.device).requires_grad_() for each in tensors]
    optimizer = torch.optim.AdamW(tensors, lr=2e-3, weight_decay=0.05)

    def says(inputs: Tensor) -> Tensor:
        inside = nn.functional.relu(nn.functional.linear(inputs, *tensors[:2]))
        return nn.functional.linear(inside, *tensors[2:])

    for step in range(steps):
        rows = torch.randint(len(words), (batch,), generator=draw).to(words.device)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 - 2 * step / steps)
        optimizer.zero_grad()
        cross_entropy(says(features[rows]), words[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return says(asked).argmax(-1)
