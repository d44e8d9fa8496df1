"""A GGUF as it is read, refused where it is not one of the decoders that kvarena runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf  # pyright: ignore[reportMissingImports]
import numpy as np

ARCHITECTURES = ("llama", "qwen2", "qwen3")  # families of model.PLAIN_LAYERS, as GGUF calls them
# without one of these a config would silently take the default of another model
REQUIRED = (
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
)
BROKEN = (ValueError, IndexError, KeyError, OverflowError)  # what gguf raises where a file ends too early


@dataclass(frozen=True, kw_only=True)
class GgufFile:
    label: str  # how errors call it
    path: Path
    reader: gguf.GGUFReader

    @classmethod
    def read(cls, path: Path, label: str) -> "GgufFile":
        try:
            reader = gguf.GGUFReader(path)
        except BROKEN as error:
            if "GGMLQuantizationType" in str(error):
                raise ValueError(f"{label} has tensors of an unknown quantisation ({error})") from error
            raise ValueError(f"{label} is cut short or broken: {error}") from error
        file = cls(label=label, path=path, reader=reader)
        file._check()
        return file

    @property
    def architecture(self) -> str:
        return self.value("general.architecture")

    @cached_property
    def tensors(self) -> Mapping[str, gguf.ReaderTensor]:
        return {tensor.name: tensor for tensor in self.reader.tensors}

    @property
    def quantisation(self) -> dict[str, int]:
        """Tensors of each type."""
        return dict(Counter(tensor.tensor_type.name for tensor in self.reader.tensors))

    def value(self, key: str, default: Any = None) -> Any:
        field = self.reader.get_field(key)
        return default if field is None else field.contents()

    def own(self, key: str, default: Any = None) -> Any:
        """Of a key that begins with the architecture."""
        return self.value(f"{self.architecture}.{key}", default)

    def sources(self, parameters: Sequence[str]) -> dict[str, str]:
        """The tensor of each parameter of a model in Hugging Face format; every tensor must have its parameter."""
        family = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == self.architecture)
        names = gguf.get_tensor_name_map(family, self.own("block_count"))
        sources = {}
        for parameter in parameters:
            module, _, kind = parameter.rpartition(".")
            sources[parameter] = f"{names.get_name(module)}.{kind}"
        if missing := sorted(set(sources.values()) - set(self.tensors)):
            raise ValueError(f"{self.label} lacks tensor {missing[0]}, and {len(missing) - 1} more")
        if foreign := sorted(set(self.tensors) - set(sources.values())):
            raise ValueError(
                f"{self.label} has tensors that no {self.architecture} of transformers has: {', '.join(foreign[:3])}"
            )
        return sources

    def _check(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"{self.label} is of architecture {self.architecture}: use {', '.join(ARCHITECTURES)}")
        for key in REQUIRED:
            if self.own(key) is None:
                raise ValueError(f"{self.label} names no {self.architecture}.{key}")
        if not (tokens := self.value("tokenizer.ggml.tokens")):
            raise ValueError(f"{self.label} has no tokenizer (tokenizer.ggml.tokens)")
        if len(kinds := self.value("tokenizer.ggml.token_type") or tokens) != len(tokens):
            raise ValueError(f"{self.label} has {len(tokens)} tokens and the types of {len(kinds)} (tokenizer.ggml)")
        if (scaling := self.own("rope.scaling.type", "none")) != "none":
            raise ValueError(f"{self.label} scales its rotation ({scaling}), which an import would lose")
        if (pieces := self.value("split.count", 1)) > 1:
            raise ValueError(f"{self.label} is one of {pieces} that llama.cpp split: merge them with its gguf-split")
        for tensor in self.reader.tensors:
            _refuse_type(tensor, self.label)
        self._check_size()

    def _check_size(self) -> None:
        """A part too many leaves bytes that no tensor has."""
        end = max((t.data_offset + t.n_bytes for t in self.reader.tensors), default=self.reader.data_offset)
        if (extra := self.path.stat().st_size - end) >= self.reader.alignment:
            raise ValueError(f"{self.label} has {extra} bytes behind its last tensor: a part too many?")


def _refuse_type(tensor: gguf.ReaderTensor, label: str) -> None:
    size = gguf.GGML_QUANT_SIZES[tensor.tensor_type][1]
    try:
        gguf.dequantize(np.zeros((1, size), np.uint8), tensor.tensor_type)
    except NotImplementedError as error:
        raise ValueError(f"{label}: {tensor.name} is of type {tensor.tensor_type.name}: {error}") from error
