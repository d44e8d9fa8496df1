"""What a folder in Hugging Face format holds beside weights, made from a GGUF.

It touches transformers as model.py does: that file is the seam a model runs through, this one writes what it reads.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
from transformers.integrations.gguf.gguf_tokenizer_mapping import (
    GGUF_PRE_TOKENIZER_SPLITS,
    convert_gguf_tokenizer,
    get_gguf_tokenizer,
)

from ..model import Model, shape_of
from .gguf_file import GgufFile

CONTROL = 3  # type of a token that no text writes
# a GGUF names one end; llama.cpp (src/llama-vocab.cpp) stops at any of these, as the models' own configs do
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")
GPT2 = ("default", "gpt-2")  # how transformers splits text unless told otherwise


def empty_model(file: GgufFile, dtype: torch.dtype) -> Model:
    """With config and generation config, without the values of its parameters."""
    # the mapping lacks the size of a head, which is not hidden_size / heads in every Qwen3
    names = {**GGUF_CONFIG_MAPPING[file.architecture], "attention.key_length": "head_dim"}
    sizes = {name: file.own(key) for key, name in names.items() if name and file.own(key) is not None}
    sizes.setdefault("vocab_size", len(file.value("tokenizer.ggml.tokens")))
    ends = end_ids(file)
    marks = {"bos_token_id": "bos", "pad_token_id": "padding"}
    special = {name: file.value(f"tokenizer.ggml.{key}_token_id") for name, key in marks.items()}
    tied = "output.weight" not in file.tensors
    config = AutoConfig.for_model(
        file.architecture, **sizes, **special, eos_token_id=ends[0], tie_word_embeddings=tied, dtype=dtype
    )
    shape_of(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.config.architectures = [type(model).__name__]
    model.generation_config = GenerationConfig(eos_token_id=ends if len(ends) > 1 else ends[0], **special)
    return model


def end_ids(file: GgufFile) -> list[int]:
    """Tokens that end a completion, the one that the GGUF names first."""
    tokens = file.value("tokenizer.ggml.tokens")
    kinds = file.value("tokenizer.ggml.token_type") or [CONTROL] * len(tokens)
    named = [file.value(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom")]
    called = [i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if token in ENDS and kind == CONTROL]
    ends = list(dict.fromkeys(index for index in (*named, *called) if index is not None))
    if not ends:
        raise ValueError(f"{file.label} names no token that ends a completion (tokenizer.ggml.eos_token_id)")
    return ends


def write_config(folder: Path, model: Model) -> None:
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


def write_tokenizer(folder: Path, file: GgufFile) -> None:
    """Vocabulary, special tokens and chat template; what is written is read again and compared."""
    family, vocabulary, options = get_gguf_tokenizer(str(file.path))
    backend, _ = convert_gguf_tokenizer(family, vocabulary)
    if vocabulary["tokenizer_type"] == "gpt2":
        _split_as_trained(backend, vocabulary.get("pre_tokenizer_type", "default"), file.label)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=file.own("context_length"),
        clean_up_tokenization_spaces=False,
        **options,
    )
    tokenizer.save_pretrained(folder)
    written = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    if written.to_str() != tokenizer.backend_tokenizer.to_str():
        raise ValueError(f"{file.label}: transformers reads its tokenizer otherwise than it was written")
    _check_vocabulary(written, vocabulary, file.label)


def _split_as_trained(backend: Backend, split: str, label: str) -> None:
    """What transformers' conversion leaves out: SmolLM takes digits one at a time, Qwen composes accents first."""
    if split == "smollm":
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        backend.pre_tokenizer = pre_tokenizers.Sequence(parts)
    elif split == "qwen2":
        backend.normalizer = normalizers.NFC()
    elif split not in GGUF_PRE_TOKENIZER_SPLITS and split not in GPT2:
        raise ValueError(f"{label} splits text by {split}, which transformers does not know: its tokens would differ")


def _check_vocabulary(backend: Backend, vocabulary: dict, label: str) -> None:
    """Every token has its id, and every control token is read as one."""
    tokens = vocabulary["tokens"]
    ids = backend.get_vocab(with_added_tokens=True)
    if sorted(ids.values()) != list(range(len(tokens))):
        raise ValueError(f"{label} has {len(tokens)} tokens, and transformers makes {len(ids)} of them")
    kinds = vocabulary.get("token_type") or [0] * len(tokens)
    for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        # a byte-level token of other letters is respelled, so it may be absent under its own name
        read = backend.encode(token, add_special_tokens=False).ids if kind == CONTROL else [ids.get(token, index)]
        if read != [index]:
            raise ValueError(f"{label}: transformers reads its token {token} as {read}, not as {index}")
