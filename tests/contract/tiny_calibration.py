"""What the tiny model's own keys and values teach a cache."""

import tempfile
from functools import cache
from pathlib import Path

import torch
from kvarena.runners.calibrate import as_safetensors, dense_columns, learned_of
from kvarena.runners.generate import Request

from .tiny_model import VOCABULARY, build_tiny_model

PARTS = (4, 8)


@cache
def folder() -> tempfile.TemporaryDirectory:
    """It is there as long as this process is."""
    return tempfile.TemporaryDirectory(prefix="kvarena-")


@cache
def tiny_calibration(**changes: int) -> str:
    """The file, of the tiny model with these changes."""
    rng = torch.Generator().manual_seed(0)
    texts = [Request(str(i), 0, torch.randint(0, VOCABULARY, (300,), generator=rng).tolist(), [0]) for i in range(2)]
    file = Path(folder().name, f"tiny{len(list(Path(folder().name).iterdir()))}.safetensors")
    learned = learned_of(dense_columns(build_tiny_model(**changes), texts, most=600), PARTS)
    file.write_bytes(as_safetensors(learned, {"model": "tiny"}))
    return str(file)
