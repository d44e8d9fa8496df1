"""How fast positions turn the channels of queries and keys.

D head dim.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel as Model

from ..cache import Shape


def inverse_frequencies(model: Model, shape: Shape) -> Tensor:
    """[D / 2] float32: angle by which each position turns a pair of channels; ValueError where a family says none."""
    rotation = getattr(getattr(model, "model", None), "rotary_emb", None)
    found = getattr(rotation, "inv_freq", None)
    if not isinstance(found, Tensor) or found.shape != (shape.dim // 2,):
        raise ValueError(f"no model.rotary_emb.inv_freq of {shape.dim // 2} pairs in a model {model.config.model_type}")
    return found.detach().to(model.device, torch.float32)
