"""A layer's attention as transformers has it.

L layers.
"""

from copy import copy

from torch import nn
from transformers import PreTrainedModel as Model

from ..cache import Shape


def attention_modules(model: Model, shape: Shape) -> list[nn.Module]:
    """[L] copies of the model's own that share its weights, each with the model's `rotary_emb`; ValueError where a
    family keeps them elsewhere."""
    inner = getattr(model, "model", None)
    rotation, layers = getattr(inner, "rotary_emb", None), getattr(inner, "layers", ())
    found = [module for layer in layers if isinstance(module := getattr(layer, "self_attn", None), nn.Module)]
    if rotation is None or len(found) != shape.layers:
        family = model.config.model_type
        raise ValueError(f"no model.rotary_emb and model.layers[0...{shape.layers - 1}].self_attn in a model {family}")
    copies = [copy(module) for module in found]
    for each in copies:
        vars(each)["rotary_emb"] = rotation  # a submodule would be the original's, too
    return copies
