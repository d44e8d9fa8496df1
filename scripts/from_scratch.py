"""A KV cache from scratch: prefill, decode and one line of eviction, for any plain Qwen3.

    python scripts/from_scratch.py

The cache is a list of two tensors a layer, which grow by `torch.cat`. It says what `kvarena.generate` says, token for
token, dense and under StreamingLLM; docs/from_scratch.md goes through it.

n new tokens, N slots, H KV heads, D head dim.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from kvarena import generate
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.job.errors import run_script
from kvarena.tasks.procedural.graph_search import GraphSearch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM, apply_rotary_pos_emb

SINKS, RECENT, TOKENS, INTERVAL = 4, 16, 80, 16
LONGEST = 100  # of a completion
Cache = list[tuple[Tensor, Tensor]]  # keys after rotation and values [1, H, N, D] of each layer


def logits_after(model: Qwen3ForCausalLM, tokens: Tensor, start: int, cache: Cache) -> Tensor:
    """Logits after `tokens` [1, n], the first of which has position `start`; the cache grows by n slots."""
    hidden = model.model.embed_tokens(tokens)
    positions = torch.arange(start, start + tokens.shape[1])[None]
    turn = model.model.rotary_emb(hidden, positions)
    for index, layer in enumerate(model.model.layers):
        attention, normed = layer.self_attn, layer.input_layernorm(hidden)
        heads = (*tokens.shape, -1, attention.head_dim)
        queries = attention.q_norm(attention.q_proj(normed).view(heads)).transpose(1, 2)
        keys = attention.k_norm(attention.k_proj(normed).view(heads)).transpose(1, 2)
        values = attention.v_proj(normed).view(heads).transpose(1, 2)
        queries, keys = apply_rotary_pos_emb(queries, keys, *turn)
        if start:  # decode: what came before is in the cache
            keys = torch.cat([cache[index][0], keys], dim=2)
            values = torch.cat([cache[index][1], values], dim=2)
            cache[index] = keys, values
        else:  # prefill: the prompt is all there is
            cache.append((keys, values))
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=not start, enable_gqa=True)
        hidden = hidden + attention.o_proj(seen.transpose(1, 2).flatten(2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.lm_head(model.model.norm(hidden[:, -1]))


@torch.inference_mode()
def decode_by_hand(model: Qwen3ForCausalLM, prompt: list[int], max_tokens: int, evicts: bool) -> list[int]:
    cache: Cache = []
    said = [int(logits_after(model, torch.tensor([prompt]), 0, cache).argmax())]  # prefill: all of the prompt at once
    while said[-1] != model.generation_config.eos_token_id and len(said) < max_tokens:
        position = len(prompt) + len(said) - 1  # of the token that was chosen last, kept slots or not
        said.append(int(logits_after(model, torch.tensor([said[-1:]]), position, cache).argmax()))
        slots = cache[0][0].shape[2]
        if evicts and slots > TOKENS and (slots - TOKENS) % INTERVAL == 0:
            cache[:] = [(sinks_and_newest(keys), sinks_and_newest(values)) for keys, values in cache]
    return said


def sinks_and_newest(slots: Tensor) -> Tensor:
    """StreamingLLM in one line: the sinks and the newest, nothing between."""
    return torch.cat([slots[:, :, :SINKS], slots[:, :, SINKS - TOKENS :]], dim=2)


def main() -> None:
    if not Path("models/reasoner").is_dir():
        raise ValueError("models/reasoner is not here: start it at the root of a checkout")
    model = AutoModelForCausalLM.from_pretrained("models/reasoner", dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained("models/reasoner")
    question = GraphSearch(num_nodes=12, num_edges=15, min_chain=30, max_chain=70).problem(seed=2**30).question
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True).input_ids
    budget = Budget(tokens=TOKENS, recent=RECENT, sinks=SINKS, interval=INTERVAL)
    for policy in (Full(), StreamingLLM(budget=budget)):
        by_hand = decode_by_hand(model, prompt, LONGEST, evicts=policy.evicts)
        (one,) = generate(model, tokenizer, [prompt], policy, max_tokens=LONGEST)
        name, slots = type(policy).__name__, one.usage.peak_slots
        assert by_hand == one.token_ids, f"{name}: another token than generate says"
        print(f"{name}: {len(by_hand)} tokens, as generate says; at most {slots:g} slots")


if __name__ == "__main__":
    run_script(main)
