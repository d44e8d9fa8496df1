"""Keys after RoPE, and values, of tokens that are spread evenly over some texts.

A text goes through the model in one causal pass, so they are what the decode loop would have cached of it.

L layers, H KV heads, Hq query heads, S tokens of a text, n tokens that are kept, D head dim.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ..generate import Request
from ..model import Model, last_states, own_attention

SIDES = ("keys", "values")


@dataclass(kw_only=True)
class DenseColumns:
    """Dense causal attention that keeps them; a model attends through it."""

    every: int = 1  # of how many tokens one is kept
    parts: dict[str, dict[int, list[Tensor]]] = field(
        default_factory=lambda: {side: defaultdict(list) for side in SIDES}
    )
    first: int = 0  # token of the text at hand that is kept

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        for side, vectors in zip(SIDES, (key, value), strict=True):
            self.parts[side][index].append(vectors[0, :, self.first :: self.every].to("cpu", torch.float32))
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()

    def of(self, side: str, layer: int) -> Tensor:
        """[H, n, D] float32."""
        return torch.cat(self.parts[side][layer], 1)

    @property
    def num_layers(self) -> int:
        return len(self.parts["keys"])

    @property
    def num_tokens(self) -> int:
        """n."""
        return sum(part.shape[1] for part in self.parts["keys"][0])


@torch.inference_mode()
def dense_columns(model: Model, texts: Sequence[Request], most: int) -> DenseColumns:
    """Of `most` tokens at most; the last token of a text, which no other follows, has none."""
    lengths = [len(text.prompt) + len(text.completion) - 1 for text in texts]
    columns = DenseColumns(every=-(-sum(lengths) // most))
    with own_attention(model):
        for text in texts:
            tokens = torch.tensor([[*text.prompt, *text.completion[:-1]]], device=model.device)
            last_states(model, tokens, torch.arange(tokens.shape[1], device=model.device)[None], columns)
            columns.first = (columns.first - tokens.shape[1]) % columns.every
    return columns
