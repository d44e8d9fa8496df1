"""Keys and values that take the place of a span's: what a learned eraser has learnt.

After KVEraser (Li et al. 2026, arXiv 2606.17034), with an adapter in place of its block: the model reads the span once
more with low-rank additions of its own, behind what stands before the span and nothing else; what this leaves is scaled
and moved, channel by channel. So the work is that of the span's tokens, whatever follows. Untrained all of it is 0:
keys and values of zeros, which differ from a drop by the share that logits of 0 take of an attention.

L layers, H KV heads, D head dim, S tokens of a span.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from typing_extensions import TypedDict

from ..cache import Shape
from ..model import Model
from ..record import replace_file
from .adapter import adapted, fresh
from .remembered import Remembered

OUTSIDE = ("keys.scale", "keys.offset", "values.scale", "values.offset")  # of the adapter, [L, H, 1, D] each


class TrainedOn(TypedDict):
    """The part of `made` that is read."""

    weights: dict[str, str]


class Steer(NamedTuple):
    tensors: dict[str, Tensor]  # float32: those OUTSIDE, and the adapter's
    made: Mapping[str, Any]  # of what: `weights`, a hash a file of the model, and how it was trained

    @classmethod
    def untrained(
        cls, model: Model, shape: Shape, layers: Sequence[str], rank: int, made: Mapping[str, Any]
    ) -> "Steer":
        """Its additions are to the linear layers whose names end so."""
        zeros = {name: torch.zeros(shape.layers, shape.heads, 1, shape.dim, device=model.device) for name in OUTSIDE}
        return cls(zeros | fresh(model, layers, rank, torch.Generator().manual_seed(0)), made)

    @classmethod
    def read(cls, path: Path) -> "Steer":
        """ValueError for a file that is none."""
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
                made = json.loads((file.metadata() or {})["made"])
            steer = cls(tensors, made)
            steer.refuse_parts()
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            why = " ".join(str(error).split())
            raise ValueError(f"{path}: no eraser that was trained ({why})") from error
        return steer

    def refuse_parts(self) -> None:
        """ValueError or KeyError where its tensors do not belong together, or it does not say what it is of."""
        TypeAdapter(TrainedOn).validate_python(self.made)
        sizes = {self.tensors[name].shape for name in OUTSIDE}
        halves = self.tensors.keys() - set(OUTSIDE)
        whole = {f"{name.rpartition('.')[0]}.{half}" for name in halves for half in ("down", "up")}
        if len(sizes) > 1 or halves != whole or not all(each.isfinite().all() for each in self.tensors.values()):
            raise ValueError("its tensors are not of one eraser, or not finite")

    def write(self, path: Path) -> None:
        """Rounded to float16."""
        halves = {name: tensor.detach().half().cpu().contiguous() for name, tensor in self.tensors.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, save(halves, {"made": json.dumps(self.made)}))

    def on(self, device: torch.device) -> "Steer":
        return self._replace(tensors={name: tensor.to(device) for name, tensor in self.tensors.items()})

    @property
    def parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())

    def states(self, model: Model, before: Remembered, tokens: Sequence[int], first: int) -> Remembered:
        """[S] slots of each layer, of tokens at positions from `first` on, behind the slots of `before`."""
        seen = before.part(0)
        with adapted(model, {name: each for name, each in self.tensors.items() if name not in OUTSIDE}):
            seen.follow(model, tokens, first)
        own = seen.part(-len(tokens), None)
        return Remembered(keys=self.moved("keys", own.keys), values=self.moved("values", own.values))

    def moved(self, name: str, layers: Sequence[Tensor]) -> list[Tensor]:
        scales, offsets = self.tensors[f"{name}.scale"], self.tensors[f"{name}.offset"]
        return [
            (states.float() * scale + offset).to(states.dtype)
            for states, scale, offset in zip(layers, scales, offsets, strict=True)
        ]
