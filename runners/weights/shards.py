"""The weights of a folder in Hugging Face format: safetensors, written shard by shard and read back."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .gguf_file import GgufFile
from .tensors import Values, one_torch_thread, shape_of

SHARD = "2GB"  # held in memory at a time
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"


def write_shards(folder: Path, file: GgufFile, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """All parameters of a model (here without values) from a GGUF; what is on the disk then is compared with it."""
    sources = file.sources(list(parameters))
    for name, parameter in parameters.items():
        shape = shape_of(file.tensors[sources[name]])
        if shape != parameter.shape:
            raise ValueError(f"{file.label}: {sources[name]} is {shape}, {name} is {tuple(parameter.shape)}")
    values = Values(file=file, dtype=dtype)
    split = split_torch_state_dict_into_shards(dict(parameters), max_shard_size=SHARD)
    with one_torch_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for filename, names in split.filename_to_tensors.items():
            path = folder / filename
            save_file({name: values.read(sources[name], pool) for name in names}, path, metadata={"format": "pt"})
            path.chmod((folder / CONFIG).stat().st_mode)  # others may read it as they may read the rest
            check_shard(path, values, {name: sources[name] for name in names})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def check_shard(path: Path, values: Values, sources: Mapping[str, str]) -> None:
    """Names, and of every tensor the first, middle and last row, dequantised once more."""
    with safe_open(path, "pt") as shard:
        assert set(shard.keys()) == set(sources), f"{path} holds other tensors than were written"
        for name, source in sources.items():
            part = shard.get_slice(name)
            length = part.get_shape()[0]
            rows = torch.tensor([0, length // 2, length - 1])
            written = torch.stack([part[int(row)] for row in rows])
            if not torch.equal(written.flatten(), values.rows(source, rows).flatten()):
                raise OSError(f"{path}: {name} on the disk differs from {source} of {values.file.label}")
