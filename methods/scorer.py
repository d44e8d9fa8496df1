"""A network a layer and KV head that scores slots by their features, and the file that it is kept in.

L layers, A KV heads of a layer, H of a view, B rows, N slots, F features, U hidden units.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import gelu
from typing_extensions import TypedDict

from .heads import ALL, Heads

HIDDEN = 16
NAMES = ("weight_in", "bias_in", "weight_out", "bias_out")


class Made(TypedDict):
    """The part of `made` that is read."""

    weights: dict[str, str]
    recent: int
    interval: int


MADE = TypeAdapter(Made)


@dataclass(frozen=True, kw_only=True)
class Scorer:
    weight_in: Tensor  # [L, A, F, U]
    bias_in: Tensor  # [L, A, 1, U]
    weight_out: Tensor  # [L, A, U, 1]
    bias_out: Tensor  # [L, A, 1, 1]
    made: Mapping[str, Any] = field(default_factory=dict)  # what it was trained on, and how

    @property
    def size(self) -> tuple[int, int, int]:
        """Layers, KV heads, features."""
        layers, heads, features, _ = self.weight_in.shape
        return layers, heads, features

    def check(self) -> None:
        """ValueError where its tensors are not of one network, or not finite, or it does not say what it is of."""
        MADE.validate_python(self.made)
        *heads, features, hidden = self.weight_in.shape
        sizes = (features, hidden), (1, hidden), (hidden, 1), (1, 1)
        for name, size in zip(NAMES, sizes, strict=True):
            tensor = getattr(self, name)
            if tensor.shape != (*heads, *size) or not tensor.isfinite().all():
                raise ValueError(name)

    def __call__(self, layer: int, features: Tensor, heads: Heads = ALL) -> Tensor:
        """[B, H, N] float32 of features [B, H, N, F]."""
        first, offset, second, last = (heads.own(getattr(self, name)[layer][None]) for name in NAMES)
        return (gelu(features @ first + offset) @ second + last).squeeze(-1)

    def to_bytes(self) -> bytes:
        tensors = {name: getattr(self, name).cpu().contiguous() for name in NAMES}
        return save(tensors, metadata={"made": json.dumps(dict(self.made))})


@lru_cache(maxsize=8)
def load_scorer(name: str, digest: str | None = None, device: torch.device | str = "cpu") -> Scorer:
    """A file of kvarena-foresight, or the one that ships with a model; ValueError for what is none.

    `digest` tells files of one name apart.
    """
    shipped = str(files("kvarena.models") / name / "foresight" / "scorer.safetensors")
    try:
        with safe_open(name if name.endswith(".safetensors") else shipped, "pt", device=str(device)) as stored:
            made = json.loads((stored.metadata() or {})["made"])
            scorer = Scorer(made=made, **{name: stored.get_tensor(name) for name in NAMES})
        scorer.check()
        return scorer
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"method.scorer={name} is no scorer of kvarena-foresight") from error


@lru_cache(maxsize=8)
def untrained(layers: int, heads: int, features: int, device: torch.device) -> Scorer:
    """Weights as a training begins with them, the same for every call."""
    rng = torch.Generator().manual_seed(0)

    def uniform(*size: int, inputs: int) -> Tensor:
        return ((2 * torch.rand(layers, heads, *size, generator=rng) - 1) / math.sqrt(inputs)).to(device)

    return Scorer(
        weight_in=uniform(features, HIDDEN, inputs=features),
        bias_in=uniform(1, HIDDEN, inputs=features),
        weight_out=uniform(HIDDEN, 1, inputs=HIDDEN),
        bias_out=uniform(1, 1, inputs=HIDDEN),
    )
