"""What a policy needs to know of a model beyond keys, values and queries; what cannot be supplied is refused.

L layers, D head dim.
"""

import torch
from torch import Tensor, nn

from ...methods.policy import Policy
from ...methods.scores import turned
from ..cache import FromModel, Shape
from ..model import Model, attention_modules, forward, inverse_frequencies, output_weights, own_attention, plain_tokens
from .watched import Placed

FAR = 5  # a position that most rotations turn


def known_of(model: Model, shape: Shape, policy: Policy) -> list[FromModel]:
    """[L], without what the probe finds; ValueError for what the model does not show."""
    method, needs = type(policy).__name__, policy.needs
    weights, turns = [torch.empty(0)] * shape.layers, torch.empty(0)
    modules: list[nn.Module | None] = [None] * shape.layers
    if needs.output:
        try:
            weights = output_weights(model, shape)
        except ValueError as error:
            raise ValueError(
                f"{method} weighs values by the output projection: {error}; "
                "use method.weight._target_=kvarena.methods.weight.Unweighted"
            ) from error
    if needs.rotation:
        try:
            turns = frequencies(model, shape)
        except ValueError as error:
            raise ValueError(f"{method} turns queries by their positions: {error}; use another method") from error
    if needs.module:
        try:
            modules[:] = attention_modules(model, shape)
        except ValueError as error:
            raise ValueError(f"{method} hands on each layer's attention: {error}; use another method") from error
        policy.meet(model)
    parts = zip(weights, modules, strict=True)
    return [FromModel(output_weight=weight, frequencies=turns, module=module) for weight, module in parts]


def frequencies(model: Model, shape: Shape) -> Tensor:
    """[D / 2] float32 on the model's device, after all layers were seen to turn their queries by them."""
    angles = inverse_frequencies(model, shape)
    family, seen = model.config.model_type, Placed()
    at = torch.tensor([[0], [FAR]], device=model.device)
    with torch.inference_mode(), own_attention(model):
        # one token attends to itself, so nothing but the rotation depends on where it is
        forward(model, plain_tokens(model, 1).expand(2, 1), at, seen)
    allowed = 1e-4 if model.dtype == torch.float32 else 3e-2
    for index, query in enumerate(seen.tensors[::2]):
        start, end = query[:, :, 0].float()  # [Hq, D]
        expected = turned(start, (FAR * angles).cos(), (FAR * angles).sin())
        if not (end - expected).abs().max() <= allowed * expected.abs().max():
            raise ValueError(f"layer {index} of a model {family} turns them otherwise than in halves of their channels")
    return angles
