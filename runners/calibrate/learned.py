"""A calibration on disk, as runners.cache reads it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..cache import FACTS
from .codebooks import codebook_of
from .columns import SIDES, DenseColumns
from .spectrum import basis_of


def learned_of(columns: DenseColumns, parts: Iterable[int]) -> dict[str, Tensor]:
    """float16: a basis a layer and head, and a codebook a layer for each number of parts."""
    layers, found = range(columns.num_layers), {}
    for side in SIDES:
        found[f"{side}.basis"] = torch.stack([basis_of(columns.of(side, layer)) for layer in layers])
        for count in parts:
            books = [codebook_of(columns.of(side, layer), count) for layer in layers]
            found[f"{side}.codebook{count}"] = torch.stack(books)
    return {name: tensor.half().contiguous() for name, tensor in found.items()}


def as_safetensors(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    return save(dict(tensors), {FACTS: json.dumps(facts)})
