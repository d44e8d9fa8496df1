"""What it costs to lose some slots once, a text in one causal pass.

Queries from position `cut` on do not see what was lost there, in each layer and KV head as many; those before do. So
every state is that of a row whose cache loses these slots at its token `cut` and goes on whole.

H KV heads, Hq query heads, S tokens of a text, D head dim, E hidden size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from kvarena.kernels.score import value_range
from kvarena.runners.fidelity.drift import compare_states
from kvarena.runners.generate import Request
from kvarena.runners.model import Model, output_projection, output_states, own_attention
from scipy.special import stdtrit
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

LOST = (0.01, 0.05, 0.1)
RECENT, SINKS = 16, 4  # that stay
LEFT = 32  # tokens that a text says behind the cut, at least
DRAWS = 3  # of random victims
FLOOR = 1e-9  # nats, of a logarithm

Scores = Callable[[Tensor], Tensor]  # values [H, S, D] -> [H, S], the highest are lost


def largest(values: Tensor) -> Tensor:
    return value_range(values[None])[0].float()


@dataclass(frozen=True, kw_only=True)
class AtRandom:
    generator: torch.Generator  # of the host

    def __call__(self, values: Tensor) -> Tensor:
        return torch.rand(values.shape[:2], generator=self.generator).to(values.device)


@dataclass(frozen=True, kw_only=True)
class Without:
    """A model attends through this; `count` slots of each head are lost at `cut`."""

    cut: int
    count: int
    scores: Scores

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        lost = self.lost(value[0]).repeat_interleave(query.shape[1] // key.shape[1], 0)  # [Hq, S]
        order = torch.arange(key.shape[2], device=key.device)
        behind = order[:, None] >= self.cut
        seen = (order <= order[:, None]) & ~(behind & lost[:, None])  # [Hq, S, S]
        output = scaled_dot_product_attention(query, key, value, attn_mask=seen[None], scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()

    def lost(self, values: Tensor) -> Tensor:
        """[H, S] bool of values [H, S, D]."""
        places = slice(SINKS, self.cut - RECENT)
        top = self.scores(values)[:, places].topk(self.count, -1).indices + SINKS
        return torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device).scatter_(-1, top, True)


def losses(model: Model, texts: Sequence[Request], cut: int) -> Iterator[dict[str, object]]:
    """A row a share, of texts that are `cut_at`: mean KL of either kind of victims."""
    chains = [[*text.prompt, *text.completion] for text in texts]
    for share in LOST:
        count = max(1, round(share * cut))
        kl = np.array([both(model, chain, cut, count, seed) for seed, chain in enumerate(chains)])
        times, low, high = times_other(kl[:, 0], kl[:, 1])
        means = {"kl_largest": kl[:, 0].mean(), "kl_random": kl[:, 1].mean()}
        numbers = means | {"times": times, "times_low": low, "times_high": high}
        yield {"lost": share, "texts": len(kl)} | {name: float(f"{value:.4g}") for name, value in numbers.items()}


@torch.inference_mode()
def both(model: Model, tokens: Sequence[int], cut: int, count: int, seed: int) -> tuple[float, float]:
    """Mean KL to dense of what follows `cut`, without the largest, and without random ones (mean over draws)."""
    ids, head = torch.tensor([tokens], device=model.device), output_projection(model)

    def states(count: int, scores: Scores) -> Tensor:  # [S - cut, E] before each token behind the cut
        order = torch.arange(ids.shape[1], device=ids.device)[None]
        attends = Without(cut=cut, count=count, scores=scores)
        return output_states(model, ids, position_ids=order, kv_cache=attends)[0, cut - 1 : -1]

    with own_attention(model):
        dense, random = states(0, largest), AtRandom(generator=torch.Generator().manual_seed(seed))
        found = [states(count, scores) for scores in (largest, *[random] * DRAWS)]
    kl = [fmean(compare_states(head, dense, own, ids[0, cut:]).kl) for own in found]
    return kl[0], fmean(kl[1:])


def times_other(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Geometric mean over texts of one over other, with Student's 95 % interval of the logs."""
    logs = np.log(one.clip(FLOOR)) - np.log(other.clip(FLOOR))
    half = float(stdtrit(len(logs) - 1, 0.975) * logs.std(ddof=1) / np.sqrt(len(logs))) if len(logs) > 1 else np.nan
    return tuple(float(np.exp(logs.mean() + end)) for end in (0, -half, half))  # type: ignore[return-value]


def cut_at(texts: Sequence[Request], cut: int) -> list[Request]:
    """Texts that have begun before their token `cut` and go on LEFT behind it at least; all before is the prompt."""
    chains = {text.sample: [*text.prompt, *text.completion] for text in texts if len(text.prompt) < cut}
    found = [Request(name, 0, chain[:cut], chain[cut:]) for name, chain in chains.items() if len(chain) >= cut + LEFT]
    if not found:
        raise ValueError(f"--cut={cut}: no text begins before its token {cut} and goes on {LEFT} tokens, use another")
    return found
