"""GGUFs small enough to be written and imported in milliseconds, and the models whose weights they hold."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.integrations.gguf.dequant import dequantize

MERGES = ["1 2", "Ġ t", "h e", "Ġt he"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [*sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPLITS = {"llama": "smollm", "qwen2": "qwen2", "qwen3": "qwen2"}
ONLY_READ = ("Q4_K", "Q6_K")  # types that the gguf package only reads: their blocks are drawn


class Written(NamedTuple):
    path: Path
    model: PreTrainedModel  # with the values that the GGUF's blocks stand for


def tiny(family: str, tied: bool) -> PreTrainedModel:
    """2 layers, 4 query and 2 KV heads; rows of 256 values, a block of the K types."""
    config = AutoConfig.for_model(
        family,
        vocab_size=len(TOKENS),
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=256,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        rope_theta=20000.0,
        initializer_range=0.08,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases begin as ones and zeros
                parameter.add_(torch.randn_like(parameter) / 4)
    return model


def blocks_of(weight: np.ndarray, kind: Type) -> tuple[np.ndarray, torch.Tensor]:
    """A weight [R, C] as blocks, and the values these stand for."""
    if kind.name not in ONLY_READ:
        data = gguf.quantize(weight, kind)
        return data, torch.tensor(gguf.dequantize(data, kind))
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(0).integers(0, 256, (weight.size // block, size), dtype=np.uint8)
    halves = {"Q4_K": (0, 2), "Q6_K": (208,)}[kind.name]  # where a block has its scales
    for start in halves:
        data[:, start : start + 2] = np.full((len(data), 1), 1e-3, np.float16).view(np.uint8)
    # another implementation than the one that is tested
    values = dequantize(torch.from_numpy(data.flatten()), int(kind)).view(weight.shape)
    return data.reshape(len(weight), -1), values


def rotated_in_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """As llama.cpp's convert_hf_to_gguf.py permutes queries and keys of a Llama."""
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def back(weight: torch.Tensor, heads: int) -> torch.Tensor:
    return weight.reshape(heads, len(weight) // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def add_tensors(writer: gguf.GGUFWriter, model: PreTrainedModel, kind: Type, dropped: str) -> None:
    """Every parameter, matrices as blocks; the model gets their values."""
    config = model.config
    family = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == config.model_type)
    names = gguf.get_tensor_name_map(family, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for parameter, tensor in model.named_parameters():
        module, _, ending = parameter.rpartition(".")
        name = f"{names.get_name(module)}.{ending}"
        turned = heads.get(module.rpartition(".")[2]) if config.model_type == "llama" else None
        weight = rotated_in_pairs(tensor.data, turned) if turned else tensor.data
        if name == dropped:
            continue
        if weight.dim() == 1:
            writer.add_tensor(name, weight.numpy())
            continue
        data, values = blocks_of(weight.numpy(), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        tensor.data = back(values, turned) if turned else values


def add_tokenizer(writer: gguf.GGUFWriter, split: str, end: str | None) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_chat_template(TEMPLATE)
    writer.add_bos_token_id(TOKENS.index("<|endoftext|>"))
    writer.add_pad_token_id(TOKENS.index("<|endoftext|>"))
    if end:
        writer.add_eos_token_id(TOKENS.index(end))


@pytest.fixture
def write_gguf(tmp_path) -> Callable:
    """write_gguf(family, ...): tiny.gguf in the test's folder, and its model.

    `dropped`: a tensor to leave out; `more`: adds keys or tensors to the writer.
    """

    def write(
        family: str = "llama",
        kind: str = "Q8_0",
        *,
        tied: bool = False,
        split: str | None = None,
        end: str | None = "<|im_end|>",
        dropped: str = "",
        architecture: str | None = None,
        more: Callable = lambda writer: None,
    ) -> Written:
        model, path = tiny(family, tied), tmp_path / "tiny.gguf"
        config = model.config
        writer = gguf.GGUFWriter(path, architecture or family)
        writer.add_name("Tiny")
        writer.add_license("mit")
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_key_length(64)
        add_tokenizer(writer, split or SPLITS[family], end)
        add_tensors(writer, model, Type[kind], dropped)
        more(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return Written(path, model)

    return write
