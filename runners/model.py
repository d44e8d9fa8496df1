"""The seam to transformers: the only place that touches it.

A model reaches our cache through one attention function, registered by name, which gets the cache as the keyword
`kv_cache` of the model call. Nothing is patched, so any decoder that uses the interface works.

B rows, S tokens, V tokens of the vocabulary, Hq query heads, D head dim.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers import PretrainedConfig as Config
from transformers import PreTrainedModel as Model
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from .cache import Shape

ATTENTION = "kvarena"
PLAIN_LAYERS = (Qwen3DecoderLayer, Qwen2DecoderLayer, LlamaDecoderLayer)  # norm, attention, norm, gated MLP
HUB_ID = re.compile(r"[\w][\w.-]*(/[\w.-]+)?")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Attends(Protocol):
    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor: ...


@torch.compiler.disable  # a compiled layer stops here and goes on behind it; the kernels are compiled already
def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    cache: Attends = kwargs["kv_cache"]
    layer = cast(int, module.layer_idx)
    return cache.attend(layer, query, key, value, kwargs.get("scaling") or query.shape[-1] ** -0.5), None


AttentionInterface.register(ATTENTION, _attention)


@contextmanager
def own_attention(model: Model) -> Iterator[None]:
    """The model attends through its `kv_cache` inside, and as before outside."""
    before = cast(str, model.config._attn_implementation)
    model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def forward(model: Model, tokens: Tensor, positions: Tensor, cache: Attends) -> Tensor:
    """Logits [B, V] of the last of tokens [B, S] at positions [B, S]."""
    output = model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=1, kv_cache=cache)
    return output.logits[:, -1]


def shape_of(config: Config) -> Shape:
    config = config.get_text_config()
    window = getattr(config, "sliding_window", None)  # Mistral names no layer types
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"])
    if kinds != {"full_attention"}:
        raise ValueError(f"model {config.model_type} has layers of {sorted(kinds)}: only full attention is supported")
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(config.num_hidden_layers, heads, config.num_attention_heads // heads, dim)


def output_projection(model: Model) -> nn.Linear:
    """What makes logits of the last hidden states."""
    return cast(nn.Linear, cast(Any, model).get_output_embeddings())


def eos_ids(model: Model) -> frozenset[int]:
    """Tokens that end a completion, from the generation config."""
    ids = model.generation_config.eos_token_id if model.generation_config else model.config.eos_token_id
    if ids is None:
        raise ValueError(f"{model.name_or_path or 'the model'} names no eos_token_id in its generation config")
    return frozenset([ids] if isinstance(ids, int) else ids)


def random_model(config: Config, dtype: torch.dtype, device: torch.device, seed: int) -> Model:
    """Random weights on the device at once; no token ends a row."""
    torch.manual_seed(seed)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    model.generation_config = GenerationConfig(eos_token_id=config.vocab_size)
    return model


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model on disk or on the hub; `path` null: the one that ships as kvarena/models/<name>."""

    name: str
    path: str | None = None
    dtype: str = "bfloat16"
    revision: str | None = None  # of the hub

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"model.dtype={self.dtype}: use one of {', '.join(DTYPES)}")

    @property
    def source(self) -> str:
        return self.path or str(resources.files("kvarena.models") / self.name)

    def config(self) -> Config:
        """Read before the weights, so that a wrong path costs nothing."""
        return self._read(AutoConfig)

    def tokenizer(self) -> Tokenizer:
        return self._read(AutoTokenizer)

    def load(self, device: torch.device) -> Model:
        return self._read(AutoModelForCausalLM, dtype=DTYPES[self.dtype]).to(device).eval()

    def _read(self, auto: type, **options: Any) -> Any:
        if not HUB_ID.fullmatch(self.source) and not Path(self.source).is_dir():
            raise ValueError(f"model.path={self.source}: no such folder")
        try:
            return auto.from_pretrained(self.source, revision=self.revision, **options)
        except (OSError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"model.path={self.source}: neither a model folder nor on the hub ({reason})") from error
