"""Greedy decoding of thousands of prompts at once, every step one replay of a CUDA graph.

B rows, T tokens of each, H KV heads, G query heads of each, S slots of the cache, D of a head. Prompts are padded at
their end: a row's positions are those of training, and what padding leaves in the cache is written over.

Not the engine's loop, which reads one prompt at a time so that a row does not depend on its neighbours: the evaluation
that ends a training has thousands of prompts, and reads 256 of them at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

STEPS = 128  # between two looks at which rows are done; the cache grows by so many slots
PREFILL_ROWS = 256


class BatchDecoder:
    def __init__(self, model: Qwen3ForCausalLM, tokens: Tensor, lengths: Tensor) -> None:
        """Reads the prompts: tokens [B, S], lengths [B]; afterwards `tokens` [B, 1] is the first word of each row."""
        self.model = model
        self.positions = lengths[:, None].clone()  # [B, 1] of the token that is read next
        shape = (len(tokens), model.config.num_key_value_heads, tokens.shape[1], model.config.head_dim)
        layers = range(model.config.num_hidden_layers)
        self.keys, self.values = ([model.lm_head.weight.new_zeros(shape) for _ in layers] for _ in range(2))
        first = []
        for rows in torch.arange(len(tokens), device=tokens.device).split(PREFILL_ROWS):
            places = torch.arange(tokens.shape[1], device=tokens.device).expand(len(rows), -1)
            span = slice(int(rows[0]), int(rows[-1]) + 1)
            caches = [(keys[span], values[span]) for keys, values in zip(self.keys, self.values, strict=True)]
            hidden = self._read(tokens[rows], places, caches)
            first.append(self._choose(hidden.gather(1, (lengths[rows, None, None] - 1).expand(-1, 1, hidden.shape[2]))))
        self.tokens = torch.cat(first)

    def run(self) -> Tensor:
        """The next STEPS tokens of each row, [B, STEPS], with those that follow on the end of a row."""
        step, words = self._step(), []
        for _ in range(STEPS):
            words.append(self.tokens.clone())
            step()
        return torch.cat(words, 1)

    def keep(self, rows: Tensor) -> None:
        """Drop the other rows, and make room for the next STEPS tokens of these."""
        self.tokens, self.positions = self.tokens[rows], self.positions[rows]
        num_slots = int(self.positions.max()) + STEPS
        num_slots += -num_slots % 64  # an aligned mask lets the fast attention run
        for caches in (self.keys, self.values):
            for layer, old in enumerate(caches):
                grown = old.new_zeros(len(rows), old.shape[1], num_slots, old.shape[3])
                room = min(num_slots, old.shape[2])
                grown[:, :, :room] = old[rows, :, :room]
                caches[layer] = grown

    def _step(self) -> Callable[[], None]:
        if self.tokens.device.type != "cuda":
            return self._advance
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # a capture needs its libraries warm; reading a token twice changes nothing
            self._next()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        return graph.replay

    def _advance(self) -> None:
        self.tokens.copy_(self._next())
        self.positions.add_(1)

    def _next(self) -> Tensor:
        return self._choose(self._read(self.tokens, self.positions, list(zip(self.keys, self.values, strict=True))))

    def _choose(self, hidden: Tensor) -> Tensor:
        return self.model.lm_head(hidden).argmax(-1)

    def _read(self, tokens: Tensor, positions: Tensor, caches: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Hidden states [B, T, C] of tokens [B, T] at positions [B, T]; their keys and values go into the caches."""
        model = self.model.model
        hidden = model.embed_tokens(tokens)
        rotary = model.rotary_emb(hidden, positions)
        groups = self.model.config.num_attention_heads // self.model.config.num_key_value_heads
        slots = torch.arange(caches[0][0].shape[2], device=tokens.device)
        mask = (slots <= positions[:, None, :, None]).repeat(1, 1, groups, 1)
        for layer, cache in zip(model.layers, caches, strict=True):
            hidden = hidden + _attend(layer.self_attn, layer.input_layernorm(hidden), rotary, positions, mask, cache)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        return model.norm(hidden)


def _attend(
    attention: torch.nn.Module,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    positions: Tensor,
    mask: Tensor,
    cache: tuple[Tensor, Tensor],
) -> Tensor:
    heads = (*hidden.shape[:2], -1, attention.head_dim)
    queries = attention.q_norm(attention.q_proj(hidden).view(heads)).transpose(1, 2)
    keys = attention.k_norm(attention.k_proj(hidden).view(heads)).transpose(1, 2)
    values = attention.v_proj(hidden).view(heads).transpose(1, 2)
    queries, keys = apply_rotary_pos_emb(queries, keys, *rotary)
    slots = positions[:, None, :, None].expand_as(keys)
    for stored, new in zip(cache, (keys, values), strict=True):
        stored.scatter_(2, slots, new)
    # the query heads of a KV head as further queries of it: nothing has to be repeated
    batch, num_heads, num_tokens, size = queries.shape
    grouped = queries.reshape(batch, cache[0].shape[1], -1, size)
    output = scaled_dot_product_attention(grouped, *cache, attn_mask=mask)
    return attention.o_proj(output.view(batch, num_heads, num_tokens, size).transpose(1, 2).flatten(2))


@torch.inference_mode()
def decode_dense(model: Qwen3ForCausalLM, prompts: list[list[int]], max_tokens: list[int]) -> list[list[int]]:
    """The completion of each prompt without its end token; shorter rows are not slowed by longer ones for long."""
    device, end = model.device, model.generation_config.eos_token_id
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    tokens = pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True).to(device)
    decoder = BatchDecoder(model, tokens, lengths)
    completions: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    while active:
        left = [place for place, row in enumerate(active) if _unfinished(completions[row], max_tokens[row], end)]
        active = [active[place] for place in left]
        if active:
            decoder.keep(torch.tensor(left, device=device))
            for row, words in zip(active, decoder.run().tolist(), strict=True):
                completions[row] += words
    return [_cut(words, limit, end) for words, limit in zip(completions, max_tokens, strict=True)]


def _unfinished(words: list[int], limit: int, end: int) -> bool:
    return len(words) < limit and end not in words[-STEPS:]


def _cut(words: list[int], limit: int, end: int) -> list[int]:
    words = words[:limit]
    return words[: words.index(end)] if end in words else words
