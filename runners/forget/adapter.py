"""Low-rank additions to the linear layers of a model whose own weights stay, as long as a context lasts.

i inputs and o outputs of a linear layer, r rank.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..model import Model

Adapter = Mapping[str, Tensor]  # of each layer's name with `.down` [r, i] and `.up` [o, r]


def fresh(model: Model, layers: Sequence[str], rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """One that adds nothing: the ups are zeros; ValueError where no layer's name ends so."""
    adapter = {}
    for name, module in model.named_modules():
        if name.endswith(tuple(layers)) and isinstance(module, nn.Linear):
            down = torch.randn(rank, module.in_features, generator=generator) / module.in_features**0.5
            adapter |= {f"{name}.down": down, f"{name}.up": torch.zeros(module.out_features, rank)}
    if not adapter:
        raise ValueError(f"layers={list(layers)}: no linear layer of a model {model.config.model_type} has such a name")
    return {name: tensor.to(model.device) for name, tensor in adapter.items()}


@contextmanager
def adapted(model: Model, adapter: Adapter) -> Iterator[None]:
    """Inside, each layer adds up (down x) to what it makes of x."""
    with ExitStack() as hooks:
        for name in sorted({name.rpartition(".")[0] for name in adapter}):
            addition = LowRank(adapter[f"{name}.down"], adapter[f"{name}.up"])
            hooks.callback(model.get_submodule(name).register_forward_hook(addition).remove)
        yield


class LowRank:
    def __init__(self, down: Tensor, up: Tensor) -> None:
        self.down, self.up = down, up

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + (inputs[0].to(self.down.dtype) @ self.down.T @ self.up.T).to(output.dtype)
