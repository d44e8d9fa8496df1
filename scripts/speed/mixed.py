"""Requests of a mix of lengths, in the order in which a run begins them."""

import math
from typing import NamedTuple

import torch
from kvarena.kernels.noise import Noise
from kvarena.runners.generate import Request
from kvarena.runners.job.order import longest_first
from omegaconf import DictConfig
from refill import END, LogNormal


class Mixed(NamedTuple):
    requests: list[Request]
    lengths: dict[tuple[str, int], int]  # of each completion

    @property
    def mean_position(self) -> int:
        """Of a token of a completion."""
        spans = [(len(request.prompt), self.lengths[request.key]) for request in self.requests]
        return round(sum(length * (prompt + length / 2) for prompt, length in spans) / sum(n for _, n in spans))


def draw_mix(mix: DictConfig, sampler: LogNormal, vocabulary: int, seed: int) -> Mixed:
    random = torch.Generator().manual_seed(seed)
    normal = torch.randn(mix.samples, generator=random)
    sizes = (mix.prompt.median * (mix.prompt.sigma * normal).exp()).round().clamp(mix.prompt.least, mix.prompt.most)
    prompts = [torch.randint(END + 1, vocabulary, (int(n),), generator=random).tolist() for n in sizes]
    requests = [Request(str(i), draw, prompt) for i, prompt in enumerate(prompts) for draw in range(mix.draws)]
    keys = torch.tensor([Noise.key(seed, *request.key) for request in requests])
    lengths = sampler.lengths(Noise(keys=keys)).tolist()
    return Mixed(requests, {request.key: length for request, length in zip(requests, lengths, strict=True)})


def in_order(mixed: Mixed, order: str, error: float, seed: int) -> list[Request]:
    """As a run would begin them, that knows of a sample what an earlier run knew."""
    if order == "given":
        return mixed.requests
    random, by_sample = torch.Generator().manual_seed(seed + 1), dict[str, list[int]]()
    for request in mixed.requests:
        by_sample.setdefault(request.sample, []).append(mixed.lengths[request.key])
    off = error if order == "predicted" else 0.0
    expected = {
        sample: sum(lengths) / len(lengths) * math.exp(off * torch.randn((), generator=random).item())
        for sample, lengths in by_sample.items()
    }
    return longest_first(mixed.requests, expected)
