"""A causal LM of any family of transformers, tiny, with random weights.

Sizes are set by their names, in a config and in those within it. What a family needs beside stands in `OWN`.
"""

from typing import Any

import torch
import transformers
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

SPREAD = 0.3  # standard deviation of weights, large so that outputs vary
LAYERS, HEADS, EXPERTS = 2, 4, 4
LATENT_FAMILIES = (
    *("axk1", "axk2", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa"),
    *("kimi_linear", "longcat_flash", "minicpm3", "sarvam_mla", "youtu"),
)
SIZES: dict[str, Any] = (
    dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers"), LAYERS
    )
    | dict.fromkeys(("num_encoder_layers", "num_decoder_layers", "depth", "num_blocks"), LAYERS)
    | dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), HEADS)
    | dict.fromkeys(("encoder_attention_heads", "num_encoder_attention_heads", "num_decoder_attention_heads"), HEADS)
    | dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), EXPERTS)
    | dict.fromkeys(("hidden_size", "n_embd", "d_model", "embed_dim"), 32)
    | dict.fromkeys(("intermediate_size", "decoder_ffn_dim", "encoder_ffn_dim", "ffn_dim"), 48)
    | dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 128)
    | dict.fromkeys(("moe_intermediate_size", "shared_intermediate_size", "shared_expert_intermediate_size"), 16)
    | dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 64)
    | dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, num_key_value_heads=2, head_dim=8, rotary_dim=8)
    | dict(num_experts_per_tok=2, moe_k=2, n_group=1, topk_group=1, first_k_dense_replace=1, n_shared_experts=1)
    | dict(q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, qk_head_dim=16)
    | dict(index_topk=4, hidden_size_per_layer_input=8, mamba_n_heads=8)
    | dict(is_decoder=True)  # a causal LM of BERT's kin
)
WHERE_THERE = dict(sliding_window=8, attention_chunk_size=8, num_kv_shared_layers=1)  # None or 0: it does without
PLAIN_GEMMA4 = dict(model_type="gemma4_text", hidden_size_per_layer_input=0, vocab_size_per_layer_input=0)
UNUSUAL = {"gemma4_assistant": dict(text_config=PLAIN_GEMMA4)}  # of which transformers takes no default config
LATENT = dict(num_key_value_heads=HEADS)  # heads that share a latent vector
OWN: dict[str, dict[str, Any]] = dict.fromkeys(LATENT_FAMILIES, LATENT) | {
    "blt": dict(encoder_hash_byte_group_vocab=64),
    "cohere_compass_text": dict(rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1e4}}),
    "dbrx": dict(attn_config=dict(rope_theta=1e4, kv_n_heads=2, clip_qkv=8)),
    "dots3_note_text": dict(num_key_value_heads=4),
    "gemma4_assistant": dict(text_config=PLAIN_GEMMA4),
    "gemma4_unified_assistant": dict(text_config=PLAIN_GEMMA4),
    "gpt_bigcode": dict(num_key_value_heads=1),
    "gpt_neo": dict(attention_types=[[["global", "local"], 1]], window_size=8),
    "lfm2": dict(layer_types=["conv", "full_attention"]),
    "lfm2_moe": dict(layer_types=["conv", "full_attention"]),
    "mamba2": dict(head_dim=16),
    "mllama_text_model": dict(cross_attention_layers=[1]),
    "reformer": dict(axial_pos_embds=False),
    "xmod": dict(default_language="en_XX"),
    "zamba": dict(num_hidden_layers=8),
    "zamba2": dict(layers_block_type=["linear_attention", "hybrid"]),
    "zaya": dict(num_experts_per_tok=1),
}


def tiny(family: str, *, full: bool = False) -> Any:
    """As its config comes, but for sizes; `full`: each layer sees the whole sequence, if a config can say so."""
    model_class: Any = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family])
    kind = model_class.config_class
    config = kind(**tiny_settings(kind, full=full))
    torch.manual_seed(0)
    model = model_class._from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=SPREAD)
            else:
                parameter.add_(torch.randn_like(parameter), alpha=SPREAD / 3)
        if getattr(config.get_text_config(), "tie_word_embeddings", False):
            model.get_input_embeddings().weight.mul_(0.1)  # so that it does not say the last token again and again
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 1000, 0
    return model


def tiny_settings(kind: type[PretrainedConfig], *, full: bool) -> dict[str, Any]:
    """Of a config and of those within it: sizes as far as it has them, what it needs beside, and full attention."""
    config, own = kind(**UNUSUAL.get(kind.model_type, {})), OWN.get(kind.model_type, {})
    usual = config.to_dict()
    other_names = {name for name, other in kind.attribute_map.items() if other not in SIZES}
    names = {name for name in {*usual, *other_names} if not isinstance(getattr(kind, name, None), property)}
    inner = {name: part for name in getattr(kind, "sub_configs", {}) if (part := getattr(config, name)) is not None}
    found = {name: size for name, size in SIZES.items() if name in names}
    found |= {name: size for name, size in WHERE_THERE.items() if usual.get(name)} | own
    found |= {name: tiny_settings(type(part), full=full) | own.get(name, {}) for name, part in inner.items()}
    if full and "layer_types" in names:
        return found | dict(layer_types=["full_attention"] * found.get("num_hidden_layers", LAYERS))
    return found | dict(sliding_window=None) if full and usual.get("sliding_window") else found
