"""Write a stand-in for Qwen3: its architecture, tokenizer, chat template and generation config, shrunk, weights random.

    python scripts/standin_model.py /tmp/standin
    kvarena task=math500 task.path=FILE.jsonl model=qwen3_4b model.path=/tmp/standin max_tokens=64

Whatever is to be run with Qwen3 can be rehearsed with it, without a network and in seconds; what it answers is noise.
The vocabulary is laid out as Qwen3's: byte-level BPE, trained on the text files of this repository, then the special
tokens in Qwen3's order, then embeddings that no token has.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser, make_folder, natural
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

ROOT = Path(__file__).parents[1]
TEXTS = ("*.md", "[a-z]*/**/*.md", "[a-z]*/**/*.py")  # of the repository, and of no environment within it
NUM_MERGED = 2048  # tokens of the BPE, bytes included
PADDED = 128  # the embeddings are a multiple of it
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
# text to Qwen3: decoding leaves them in
MARKS = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# what Qwen3's own makes of system and user turns; an answer given before loses its thought
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.role == 'assistant' %}{{ message.content.split('</think>')[-1].lstrip('\n') }}"
    "{% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def trained_tokenizer(lines: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=NUM_MERGED, initial_alphabet=alphabet, show_progress=False)
    )
    bpe.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    bpe.add_tokens([AddedToken(word, normalized=False) for word in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
        chat_template=CHAT_TEMPLATE,
    )


def random_qwen3(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=-(-len(tokenizer) // PADDED) * PADDED,
            hidden_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            intermediate_size=384,
            max_position_embeddings=tokenizer.model_max_length,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            bos_token_id=pad,
            eos_token_id=end,
            pad_token_id=pad,
            random_weights=True,  # no published number stands beside what it says
        )
    )
    model.generation_config = GenerationConfig(
        bos_token_id=pad,
        eos_token_id=[end, pad],
        pad_token_id=pad,
        do_sample=True,
        temperature=0.6,
        top_k=20,
        top_p=0.95,
    )
    return model.bfloat16()


def write_standin(folder: Path, seed: int = 0) -> None:
    files = sorted(path for pattern in TEXTS for path in ROOT.glob(pattern))
    tokenizer = trained_tokenizer((file.read_text(encoding="utf-8") for file in files), max_length=40960)
    tokenizer.save_pretrained(folder)
    random_qwen3(tokenizer, seed).save_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="in Hugging Face format, for model.path")
    parser.add_argument("--seed", type=natural, default=0, help="of the weights")
    options = parser.parse_args(arguments)
    make_folder(options.folder, "FOLDER")
    write_standin(options.folder, options.seed)
    megabytes = sum(path.stat().st_size for path in options.folder.iterdir()) / 1e6
    print(f"{options.folder}: {megabytes:.1f} MB")


if __name__ == "__main__":
    run_script(main)
