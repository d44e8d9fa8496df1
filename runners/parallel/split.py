"""What a rank keeps of a model: the outputs of some products, the inputs of others, by the plan of its family.

The plan is transformers' (`base_model_tp_plan`): products by column are queries, keys, values, gate and up, with their
biases; those by row, output and down, add up over the ranks, and their bias counts once. Embedding, norms and language
model head stay whole on every rank.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..model import Config, Model, shape_of
from .ranks import Ranks

COLUMN, ROW = "colwise", "rowwise"


class RowLinear(nn.Linear):
    """The product of all inputs, of which this rank has its own."""

    ranks: Ranks

    def forward(self, input: Tensor) -> Tensor:
        product = self.ranks.sum(linear(input, self.weight))
        return product if self.bias is None else product + self.bias


def check_split(config: Config, size: int) -> None:
    """ValueError for what cannot be split over so many ranks; asked before weights are loaded, too."""
    if size == 1:
        return
    own, heads = config.get_text_config(), shape_of(config).heads
    if heads % size:
        fits = ", ".join(str(each) for each in range(1, heads + 1) if heads % each == 0)
        raise ValueError(f"tensor_parallel={size}: {heads} KV heads of {own.model_type} are shared out by {fits}")
    inner = getattr(own, "intermediate_size", None)
    if not isinstance(inner, int) or inner % size:
        raise ValueError(f"tensor_parallel={size}: an MLP of {inner} channels cannot be shared out evenly")
    plan = plan_of(config)
    if not plan or not {COLUMN, ROW} <= set(plan.values()):
        raise ValueError(f"tensor_parallel={size}: model {own.model_type} has no plan of columns and rows, use 1")


def plan_of(config: Config) -> Mapping[str, str]:
    return getattr(config.get_text_config(), "base_model_tp_plan", None) or {}


def split_over(model: Model, ranks: Ranks) -> None:
    """Leave a model this rank's part, in place, one product after the other; all must call it alike."""
    check_split(model.config, ranks.size)
    if ranks.size == 1:
        return
    kinds = {pattern.replace(".", r"\.").replace("*", r"\d+"): kind for pattern, kind in plan_of(model.config).items()}
    for name, module in list(model.base_model.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        kind = next((kind for pattern, kind in kinds.items() if re.fullmatch(pattern, name)), None)
        if kind == COLUMN:
            keep_outputs(module, ranks)
        elif kind == ROW:
            parent, _, last = name.rpartition(".")
            setattr(model.base_model.get_submodule(parent), last, own_inputs(module, ranks))
        else:
            family = model.config.model_type
            raise ValueError(f"tensor_parallel={ranks.size}: the plan of {family} has {name} as {kind}, use 1")


def keep_outputs(module: nn.Linear, ranks: Ranks) -> None:
    module.weight = own_part(module.weight, 0, ranks)
    if module.bias is not None:
        module.bias = own_part(module.bias, 0, ranks)
    module.out_features = len(module.weight)


def own_inputs(module: nn.Linear, ranks: Ranks) -> RowLinear:
    with torch.device("meta"):
        row = RowLinear(module.in_features // ranks.size, module.out_features, bias=False)
    row.weight, row.bias, row.ranks = own_part(module.weight, 1, ranks), module.bias, ranks
    return row


def own_part(weight: Tensor, dim: int, ranks: Ranks) -> nn.Parameter:
    own = weight.data.chunk(ranks.size, dim)[ranks.rank]
    # a view would keep all of it
    return nn.Parameter(own.clone(memory_format=torch.contiguous_format), requires_grad=False)
