"""A model small enough to run in milliseconds."""

from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CONFIGS: dict[str, Any] = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
}
VOCABULARY = 64
NO_EOS = 1000  # a token id that no model here can choose


def build_tiny_model(family: str = "qwen3", **changes: Any) -> PreTrainedModel:
    """3 layers, 4 query and 2 KV heads of 16, random weights, large ones so that outputs vary."""
    config, model, extra = CONFIGS[family]
    torch.manual_seed(0)
    sizes = dict(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=512,
        initializer_range=0.06,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    built = model(config(**(sizes | extra | changes))).eval()
    built.generation_config.eos_token_id = NO_EOS
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if parameter.dim() == 2 or "q_norm" in name:
                parameter.mul_(3)
            if "k_norm" in name:  # or all keys would be of one length
                parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()))
    return built
