"""What a layer makes of its attention's output.

L layers, H KV heads, G query heads per KV head, D head dim, E hidden size.
"""

from torch import Tensor, nn
from transformers import PreTrainedModel as Model

from ..cache import Shape


def output_weights(model: Model, shape: Shape) -> list[Tensor]:
    """[L] of [H, G, D, E], views of the model's own; ValueError where a family keeps them elsewhere or otherwise."""
    layers = getattr(getattr(model, "model", None), "layers", ())
    projections = [getattr(getattr(layer, "self_attn", None), "o_proj", None) for layer in layers]
    width = shape.heads * shape.groups * shape.dim
    weights = []
    for projection in projections:
        if not isinstance(projection, nn.Linear) or projection.weight.shape[1:] != (width,):
            break
        weights.append(projection.weight.detach().T.unflatten(0, (shape.heads, shape.groups, shape.dim)))
    if len(weights) != shape.layers:
        raise ValueError(
            f"no output projection model.layers[{len(weights)}].self_attn.o_proj of {width} channels in a model "
            f"{model.config.model_type}"
        )
    return weights
