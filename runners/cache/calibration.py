"""What kvarena-calibrate has learned of a model's keys and values, as a cache reads it.

A safetensors file: for keys and values a basis [L, H, D, D] float16 of each head, columns by falling energy, which
becomes orthonormal again when it is read; and codebooks [L, P, 255, d] float16 of each layer. Its metadata say of which
model it is and what it was learned from.

L layers, H KV heads, D head dim, P parts of d = D / P channels.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor
from typing_extensions import TypedDict

from .shape import Shape

FACTS = "kvarena"  # of the metadata
CENTROIDS = 255
ROUNDING = 0.01  # by which the columns of a basis, in float16, may miss being orthonormal


class Prints(TypedDict, total=False):
    """The part of the facts that is read."""

    fingerprints: dict[str, dict[str, str]]


PRINTS = TypeAdapter(Prints)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]  # model, texts, tokens, commit, fingerprints

    def of(self, side: str, learns: str | None, layer: int, heads: slice, device: torch.device) -> Tensor:
        """float32 on a device: what a format of keys or values needs of a layer; a basis of some heads alone."""
        if learns is None:
            return torch.empty(0)
        learned = self.tensors[f"{side}.{learns}"][layer]
        return (orthonormal(learned[heads]) if learns == "basis" else learned.float()).to(device)

    def check(self, shape: Shape, name: str | None, learns: Mapping[str, str | None]) -> None:
        """ValueError where it is of another shape, or lacks what formats of keys and values need."""
        layers, heads, dim, _ = self.tensors["keys.basis"].shape
        if (layers, heads, dim) != (shape.layers, shape.heads, shape.dim):
            raise ValueError(
                f"cache.calibration={name} is of {layers} layers and {heads} KV heads of {dim}, the model has "
                f"{shape.layers} and {shape.heads} of {shape.dim}: give its own, which kvarena-calibrate makes"
            )
        for side, asked in learns.items():
            if asked and f"{side}.{asked}" not in self.tensors:
                parts = asked.removeprefix("codebook")
                raise ValueError(
                    f"cache.{side}.parts={parts}: cache.calibration={name} has no such codebook; "
                    f"kvarena-calibrate --parts={parts} makes it"
                )


def orthonormal(basis: Tensor) -> Tensor:
    """[..., D, D] float32: the basis without the rounding of its file, each column towards where it was."""
    whole, corners = torch.linalg.qr(basis.double())
    return (whole * corners.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]).float()


def file_of(name: str | None) -> Path:
    """A file, or that of the model that ships; ValueError where there is none."""
    if name is None:
        raise ValueError("cache.calibration=null: this cache is learned; give what kvarena-calibrate writes")
    given = name.endswith(".safetensors")
    file = Path(name) if given else Path(str(resources.files("kvarena.models"))) / name / "columns/learned.safetensors"
    if not file.is_file():
        what = f"cache.calibration={name} is not there" if given else f"model {name} has no calibration here"
        makes = f"kvarena-calibrate {file.stem if given else name} RUN, RUN a run of method=full, makes one"
        raise ValueError(f"{what}: {makes}; then cache.calibration=FILE")
    return file


def read_calibration(name: str | None) -> Calibration:
    """ValueError for a file that is none."""
    file = file_of(name)
    status = file.stat()
    return read_learned(file, status.st_size, status.st_mtime_ns)


def refuse_others(tensors: Mapping[str, Tensor]) -> None:
    """ValueError or KeyError for what keys and values of no model have taught."""
    layers, heads, dim, _ = tensors["keys.basis"].shape
    for side in ("keys", "values"):
        basis = tensors[f"{side}.basis"].float()
        if not ((basis.mT @ basis - torch.eye(dim)).abs() < ROUNDING).all():
            raise ValueError(f"{side}.basis")
    for name, tensor in tensors.items():
        parts = int(name.partition(".codebook")[2] or 0)
        size = (layers, parts, CENTROIDS, dim // parts) if parts else (layers, heads, dim, dim)
        if tensor.shape != size or not tensor.isfinite().all():
            raise ValueError(name)


@lru_cache(maxsize=4)
def read_learned(file: Path, size: int, mtime_ns: int) -> Calibration:
    try:
        with safe_open(file, "pt") as there:
            facts = json.loads(there.metadata()[FACTS])
            tensors = {name: there.get_tensor(name) for name in there.keys()}  # noqa: SIM118, it is no mapping
        PRINTS.validate_python(facts)
        refuse_others(tensors)
        return Calibration(tensors=tensors, facts=facts)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is no calibration of kvarena-calibrate") from error
