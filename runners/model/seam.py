"""How a model reaches our cache, and nothing is patched.

A model attends through one function, registered by name, which gets the cache as the keyword `kv_cache` of the model
call. Whatever else a model hands over must say nothing, or be the scale: what the function does not honour it refuses.

B rows, S tokens, V tokens of the vocabulary, E hidden size, Hq query heads, D head dim.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import cycle, islice
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AutoModelForCausalLM, GenerationConfig
from transformers import PretrainedConfig as Config
from transformers import PreTrainedModel as Model
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from .hidden_states import heard
from .masks import MASKED, NotCausal
from .quiet import quiet

ATTENTION = "kvarena"
NAMED = ("token_id", "token_index")
SPREAD = 7919  # a prime: steps over the vocabulary
PLAIN_LAYERS = (Qwen3DecoderLayer, Qwen2DecoderLayer, LlamaDecoderLayer)  # norm, attention, norm, gated MLP
HONOURED = ("kv_cache", "scaling")
# the model has rotated by positions already; what we ask of its head some hand on to their attention
SAYS_NOTHING = ("position_ids", "position_embeddings", "cache_position", "logits_to_keep")


class Attends(Protocol):
    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor: ...


@torch.compiler.disable  # a compiled layer stops here and goes on behind it; the kernels are compiled already
def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,  # by its place: kvpress, once imported, hands it on so
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if "kv_cache" not in kwargs:
        raise ValueError("its layers do not hand on to their attention what the model is called with")
    if isinstance(attention_mask, NotCausal):
        raise ValueError(attention_mask.why)
    for name, asked in ({"attention_mask": attention_mask, "dropout": dropout} | kwargs).items():
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


for name in (ATTENTION, MASKED):
    AttentionInterface.register(name, _attention)


@contextmanager
def own_attention(model: Model, name: str = ATTENTION) -> Iterator[None]:
    """The model attends through its `kv_cache` inside, and as before outside; as `MASKED` its masks are looked at."""
    before = cast(str, model.config._attn_implementation)
    with quiet():
        model.set_attn_implementation(name)
    if model.config._attn_implementation != name:
        raise ValueError("its layers do not attend by AttentionInterface, so no method reaches their keys")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def forward(model: Model, tokens: Tensor, positions: Tensor, cache: Attends, last: Tensor | Literal[1] = 1) -> Tensor:
    """Logits [B, V] of the last of tokens [B, S] at positions [B, S]; or [R, V] of those at `last` [R] of [1, S]."""
    with heard(model, cache):
        output = model(input_ids=tokens, position_ids=positions, use_cache=False, logits_to_keep=last, kv_cache=cache)
    return output.logits[:, -1] if isinstance(last, int) else output.logits[0]


def last_states(
    model: Model, tokens: Tensor, positions: Tensor, cache: Attends, last: Tensor | Literal[1] = 1
) -> Tensor:
    """[B, E], or [R, E]: what the output projection makes the logits of `forward` of."""
    with heard(model, cache):
        states = output_states(model, tokens, position_ids=positions, kv_cache=cache)
    return states[:, -1] if isinstance(last, int) else states[0, last]


def output_states(model: Model, tokens: Tensor, **options: Any) -> Tensor:
    """[B, S, E]: what the output projection sees of tokens [B, S]."""
    return cast(Any, model).get_decoder()(input_ids=tokens, use_cache=False, **options).last_hidden_state


def transformers_logits(model: Model, tokens: Tensor, **options: Tensor) -> Tensor:
    """Logits [B, S, V] of tokens [B, S], as the model computes them without us."""
    return model(input_ids=tokens, use_cache=False, **options).logits


def transformers_steps(model: Model, tokens: Tensor, prompt: int) -> Tensor:
    """Logits [1 + S - P, V] after the first P of tokens [S] and after each that follows, by the model's own cache."""
    name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
    outputs = [model(input_ids=tokens[None, :prompt], use_cache=True)]
    for token in tokens[prompt:, None]:
        kept = {name: getattr(outputs[-1], name)}
        outputs.append(model(input_ids=token[None], use_cache=True, **kept))
    return torch.stack([output.logits[0, -1] for output in outputs])


def misplaced(model: Model, tokens: Tensor) -> str:
    """How a model places tokens [1, S] otherwise than by position_ids that count from 0; empty: it does not."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
    every = torch.ones_like(tokens)
    free, counted, spread = (
        transformers_logits(model, tokens, attention_mask=every, **at)
        for at in ({}, dict(position_ids=positions), dict(position_ids=2 * positions))
    )
    if torch.equal(counted, spread):
        return "it does not place a token by its position_ids"
    return "" if torch.allclose(free, counted, rtol=1e-2, atol=1e-3) else "its positions do not count from 0"


def decoder_layers(model: Model) -> nn.ModuleList:
    """In order; ValueError where a family keeps them elsewhere."""
    layers = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        family = model.config.model_type
        raise ValueError(f"engine=graphs looks for model.layers, which model {family} has not: use engine=eager")
    return layers


def output_projection(model: Model) -> nn.Linear:
    """What makes logits of the last hidden states."""
    return cast(nn.Linear, cast(Any, model).get_output_embeddings())


def plain_tokens(model: Model, count: int) -> Tensor:
    """[S] tokens that stand for text: none that the config has a name for, such as that of an image."""
    configs = [model.config.to_dict(), model.config.get_text_config().to_dict()]
    named = [value for config in configs for name, value in config.items() if name.endswith(NAMED)]
    table = getattr(model.get_input_embeddings(), "weight", None)
    if table is None:
        raise ValueError("its tokens come from no table of one vocabulary")
    size = len(table)
    plain = (token for token in (step * SPREAD % size for step in range(1, size)) if token not in named)
    return torch.tensor(list(islice(cycle(plain), count)), device=model.device)


def random_model(config: Config, dtype: torch.dtype, device: torch.device, seed: int) -> Model:
    """Random weights on the device at once; no token ends a row."""
    torch.manual_seed(seed)
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    model.generation_config = GenerationConfig(eos_token_id=config.vocab_size)
    return model
