"""How a model reaches our cache, and nothing is patched.

A model attends through one function, registered by name, which gets the cache as the keyword `kv_cache` of the model
call. Whatever else a model hands over must say nothing, or be the scale: what the function does not honour it refuses.

B rows, S tokens, V tokens of the vocabulary, E hidden size, Hq query heads, D head dim.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import islice
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache, GenerationConfig
from transformers import PretrainedConfig as Config
from transformers import PreTrainedModel as Model
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from .quiet import quiet

ATTENTION = "kvarena"
NAMED = ("token_id", "token_index")
SPREAD = 7919  # a prime: steps over the vocabulary
PLAIN_LAYERS = (Qwen3DecoderLayer, Qwen2DecoderLayer, LlamaDecoderLayer)  # norm, attention, norm, gated MLP
HONOURED = ("kv_cache", "scaling")
SAYS_NOTHING = ("position_ids", "position_embeddings", "cache_position")  # the model has rotated by these already


class Attends(Protocol):
    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor: ...


@torch.compiler.disable  # a compiled layer stops here and goes on behind it; the kernels are compiled already
def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    if "kv_cache" not in kwargs:
        raise ValueError("its layers do not hand on to their attention what the model is called with")
    for name, asked in ({"attention_mask": attention_mask} | kwargs).items():
        if name not in HONOURED and name not in SAYS_NOTHING and not neutral(name, asked):
            shown = f"a tensor {list(asked.shape)}" if isinstance(asked, Tensor) else asked
            raise ValueError(f"its attention asks for {name}={shown}, which no method here knows")
    scale = kwargs.get("scaling")
    cache: Attends = kwargs["kv_cache"]
    layer = cast(int, module.layer_idx)
    return cache.attend(layer, query, key, value, query.shape[-1] ** -0.5 if scale is None else scale), None


def neutral(name: str, asked: Any) -> bool:
    """Whether a keyword at this value changes nothing of causal attention."""
    if isinstance(asked, Tensor):
        return False
    return asked is None or asked == (name == "is_causal")


AttentionInterface.register(ATTENTION, _attention)


@contextmanager
def own_attention(model: Model) -> Iterator[None]:
    """The model attends through its `kv_cache` inside, and as before outside."""
    before = cast(str, model.config._attn_implementation)
    with quiet():
        model.set_attn_implementation(ATTENTION)
    if model.config._attn_implementation != ATTENTION:
        raise ValueError("its layers do not attend by AttentionInterface, so no method reaches their keys")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def forward(model: Model, tokens: Tensor, positions: Tensor, cache: Attends, last: Tensor | Literal[1] = 1) -> Tensor:
    """Logits [B, V] of the last of tokens [B, S] at positions [B, S]; `last` [1]: its index, if padding follows."""
    output = model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=last, kv_cache=cache)
    return output.logits[:, -1]


def last_states(
    model: Model, tokens: Tensor, positions: Tensor, cache: Attends, last: Tensor | Literal[1] = 1
) -> Tensor:
    """[B, E]: what the output projection makes the logits of `forward` of."""
    states = output_states(model, tokens, position_ids=positions, kv_cache=cache)
    return states[:, -1] if isinstance(last, int) else states.index_select(1, last)[:, 0]


def output_states(model: Model, tokens: Tensor, **options: Any) -> Tensor:
    """[B, S, E]: what the output projection sees of tokens [B, S]."""
    return cast(Any, model).get_decoder()(input_ids=tokens, use_cache=False, **options).last_hidden_state


def transformers_logits(model: Model, tokens: Tensor) -> Tensor:
    """Logits [B, S, V] of tokens [B, S], as the model computes them without us."""
    return model(input_ids=tokens, use_cache=False).logits


def transformers_steps(model: Model, tokens: Tensor, prompt: int) -> Tensor:
    """Logits [1 + S - P, V] after the first P of tokens [S] and after each that follows, by the model's own cache."""
    name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
    kept = {name: DynamicCache(config=model.config)}
    parts = [tokens[:prompt], *tokens[prompt:, None]]
    return torch.stack([model(input_ids=part[None], use_cache=True, **kept).logits[0, -1] for part in parts])


def output_projection(model: Model) -> nn.Linear:
    """What makes logits of the last hidden states."""
    return cast(nn.Linear, cast(Any, model).get_output_embeddings())


def plain_tokens(model: Model, count: int) -> Tensor:
    """[S] tokens that stand for text: none that the config has a name for, such as that of an image."""
    configs = [model.config.to_dict(), model.config.get_text_config().to_dict()]
    named = [value for config in configs for name, value in config.items() if name.endswith(NAMED)]
    size = len(cast(nn.Embedding, model.get_input_embeddings()).weight)
    plain = (token for token in (step * SPREAD % size for step in range(1, size)) if token not in named)
    return torch.tensor(list(islice(plain, count)), device=model.device)


def random_model(config: Config, dtype: torch.dtype, device: torch.device, seed: int) -> Model:
    """Random weights on the device at once; no token ends a row."""
    torch.manual_seed(seed)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    model.generation_config = GenerationConfig(eos_token_id=config.vocab_size)
    return model
