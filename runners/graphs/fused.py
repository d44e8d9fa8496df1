"""A decoder layer in few launches: projections of one input are one product.

Weights are joined in place, and a model keeps its modules and their order of calls, for prompts that are not captured:
the first projection of a group computes all of them, the others hand out what is waiting. A family that `model/seam.py`
does not name as one of plain layers keeps its own code.

B rows, S tokens of each (1 in a step), E hidden size, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...kernels.linear import gated, linear
from ...kernels.norm import Norm, normed
from ...kernels.rotate import rotate
from ..model import PLAIN_LAYERS, Attends, Model, decoder_layers
from ..parallel import ALONE, Ranks

# in the order of their calls
GROUPS = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))


class First(nn.Module):
    def __init__(self, linears: Sequence[nn.Linear], waiting: list[Tensor]) -> None:
        super().__init__()
        self.sizes = [linear.out_features for linear in linears]
        self.weight = nn.Parameter(torch.cat([linear.weight.data for linear in linears]), requires_grad=False)
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False) if biases else None
        self.waiting = waiting

    def forward(self, hidden: Tensor) -> Tensor:
        first, *others = nn.functional.linear(hidden, self.weight, self.bias).split(self.sizes, -1)
        self.waiting[:] = others
        return first


class Next(nn.Module):
    def __init__(self, waiting: list[Tensor]) -> None:
        super().__init__()
        self.waiting = waiting

    def forward(self, hidden: Tensor) -> Tensor:
        return self.waiting.pop(0)


def fuse(model: Model) -> None:
    """Replace the projections of plain layers in place, layer by layer, so that one group at most is held twice."""
    for layer in decoder_layers(model):
        for owner, names in GROUPS if type(layer) in PLAIN_LAYERS else ():
            module = getattr(layer, owner, None)
            linears = [linear for name in names if type(linear := getattr(module, name, None)) is nn.Linear]
            if len(linears) < len(names) or len({linear.bias is None for linear in linears}) == 2:
                continue
            waiting: list[Tensor] = []
            setattr(module, names[0], First(linears, waiting))
            for name in names[1:]:
                setattr(module, name, Next(waiting))


@dataclass(frozen=True, kw_only=True)
class FusedLayer:
    """The forward pass of a plain layer whose projections are fused."""

    index: int
    heads: tuple[int, int]  # of queries, of keys
    scale: float
    norms: tuple[Norm, Norm]  # before the attention, before the MLP
    head_norms: tuple[Norm | None, Norm | None]  # of queries, of keys
    query_key_value: First
    output: nn.Linear
    gate_up: First
    down: nn.Linear
    ranks: Ranks = ALONE  # over which the layer is split

    @classmethod
    def of(cls, layer: nn.Module, ranks: Ranks = ALONE) -> "FusedLayer | None":
        """None where the layer is of another kind."""
        if type(layer) not in PLAIN_LAYERS:
            return None
        one = cast(Any, layer)
        attention, mlp = one.self_attn, one.mlp
        gate_up, query_key_value = getattr(mlp, "gate_proj", None), getattr(attention, "q_proj", None)
        if not isinstance(gate_up, First) or not isinstance(query_key_value, First):
            return None
        if gate_up.bias is not None or mlp.config.hidden_act != "silu":
            return None
        q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        return cls(
            index=attention.layer_idx,
            heads=(query_key_value.sizes[0] // attention.head_dim, query_key_value.sizes[1] // attention.head_dim),
            scale=attention.scaling,
            norms=(norm_of(one.input_layernorm), norm_of(one.post_attention_layernorm)),
            head_norms=(q_norm and norm_of(q_norm), k_norm and norm_of(k_norm)),
            query_key_value=query_key_value,
            output=attention.o_proj,
            gate_up=gate_up,
            down=mlp.down_proj,
            ranks=ranks,
        )

    def __call__(
        self, hidden_states: Tensor, *, position_embeddings: tuple[Tensor, Tensor], kv_cache: Attends, **unused: Any
    ) -> Tensor:
        """[B, S, E] to [B, S, E]: to the products and norms every token is a row."""
        size, first, hidden = hidden_states.shape[:2], self.query_key_value, hidden_states.flatten(0, 1)
        cos, sin = (angles.expand(*size, -1).flatten(0, 1) for angles in position_embeddings)
        joined = linear(normed(hidden, self.norms[0]), first.weight, bias=first.bias)
        parts = rotate(joined, cos, sin, self.heads, *self.head_norms)
        query, key, value = (part.unflatten(0, size).transpose(1, 2) for part in parts)
        attended = kv_cache.attend(self.index, query, key, value, self.scale)
        hidden = self.added(attended.flatten(0, 1).flatten(1), self.output, hidden)
        inner = gated(normed(hidden, self.norms[1]), self.gate_up.weight)
        return self.added(inner, self.down, hidden).unflatten(0, size)

    def added(self, own: Tensor, product: nn.Linear, hidden: Tensor) -> Tensor:
        """[B S, E]: hidden states and the product of all ranks' inputs; one of them brings the bias and the states."""
        first = self.ranks.first
        bias, residual = (product.bias, hidden) if first else (None, None)
        return self.ranks.sum(linear(own, product.weight, bias=bias, residual=residual))


def norm_of(module: Any) -> Norm:
    return Norm(module.weight, module.variance_epsilon)
