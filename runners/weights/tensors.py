"""Tensors of a GGUF as a model has them: dequantised as transformers does, by the gguf package; rows in its order.

R rows, C columns of a tensor; a vector has R values.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import gguf  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from torch import Tensor

from .gguf_file import GgufFile

# values at a time: they stay in a core's cache. The gguf package alone takes 16 rows at a time, four times as slow
CHUNK = 2**18


@dataclass(frozen=True, kw_only=True)
class Values:
    file: GgufFile
    dtype: torch.dtype

    def read(self, name: str, pool: Executor) -> Tensor:
        """A whole tensor [R, C] or [R]."""
        tensor = self.file.tensors[name]
        block, size = gguf.GGML_QUANT_SIZES[tensor.tensor_type]
        raw = tensor.data.reshape(-1).view(np.uint8)
        values = torch.empty(int(tensor.n_elements), dtype=self.dtype)
        step = CHUNK // block * size

        def fill(start: int) -> None:
            part = self._dequantise(name, raw[start : start + step].reshape(1, -1)).flatten()
            values[start // size * block :][: len(part)] = part

        list(pool.map(fill, range(0, len(raw), step)))
        values = values.view(shape_of(tensor))
        return values[self._order(name)] if self._permuted(name) else values

    def rows(self, name: str, rows: Tensor) -> Tensor:
        """Some rows of it, each on its own, so that two ways lead to one value."""
        data = self.file.tensors[name].data
        stored = self._order(name)[rows] if self._permuted(name) else rows
        return torch.stack([self._dequantise(name, data[int(row)].reshape(1, -1).view(np.uint8))[0] for row in stored])

    def _dequantise(self, name: str, raw: np.ndarray) -> Tensor:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            values = torch.tensor(gguf.dequantize(raw, self.file.tensors[name].tensor_type))
        if not values.isfinite().all():
            raise ValueError(f"{self.file.label}: {name} has values that are not finite: parts out of order?")
        return values.to(self.dtype)

    def _permuted(self, name: str) -> bool:
        return self.file.architecture == "llama" and (".attn_q." in name or ".attn_k." in name)

    def _order(self, name: str) -> Tensor:
        """The row of the GGUF that is each row of the model [R].

        llama.cpp rotates neighbouring values of a Llama, transformers the two halves of a head: their queries and keys
        differ by the order of rows (`permute` of llama.cpp's convert_hf_to_gguf.py).
        """
        heads = self.file.own("attention.head_count")
        if ".attn_k." in name:
            heads = self.file.own("attention.head_count_kv", heads)
        return torch.arange(len(self.file.tensors[name].data)).view(heads, -1, 2).transpose(1, 2).flatten()


def shape_of(tensor: gguf.ReaderTensor) -> tuple[int, ...]:
    """GGUF names the fastest dimension first."""
    return tuple(int(size) for size in reversed(tensor.shape))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """The threads of a pool are the parallel ones; torch's own would wait for one another within each."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
