"""A cache fed with random vectors in place of a model's, and all that it was ever fed."""

from collections.abc import Callable

import pytest
import torch
from kvarena.kernels.noise import Noise
from kvarena.runners.cache import KVCache
from kvarena.runners.layer import Shape
from kvarena.runners.prefill import Prefill

SHAPE = Shape(layers=2, heads=2, groups=2, dim=8)
SCALE = 0.4


class Feed:
    def __init__(self, policy, batch_size: int, longest_prompt: int, longest: int) -> None:
        self.rng = torch.Generator().manual_seed(0)
        self.cache = KVCache(
            policy=policy,
            shape=SHAPE,
            batch_size=batch_size,
            longest_prompt=longest_prompt,
            longest=longest,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        # of each row's present sequence: queries [L, Hq, S, D], keys and values [L, H, S, D]
        self.tape = [None] * batch_size
        self.outputs = [None] * batch_size  # of the last call, [L, Hq, D]

    def draw(self, *size: int) -> torch.Tensor:
        return torch.randn(*size, SHAPE.dim, generator=self.rng)

    def admit(self, row: int, prompt: int) -> None:
        L, H, G, _ = SHAPE
        self.cache.admit(row, prompt, Noise.key(0, row, 0))
        self.tape[row] = [self.draw(L, H * G, prompt), self.draw(L, H, prompt), self.draw(L, H, prompt)]
        prefill = Prefill(cache=self.cache, row=row)
        outputs = [prefill.attend(i, *(part[i][None] for part in self.tape[row]), SCALE)[0, -1] for i in range(L)]
        self.outputs[row] = torch.stack(outputs)

    def step(self) -> None:
        """One token for every row; nothing is evicted."""
        L, H, G, _ = SHAPE
        B = self.cache.batch_size
        new = [self.draw(L, B, H * G, 1), self.draw(L, B, H, 1), self.draw(L, B, H, 1)]
        outputs = torch.stack([self.cache.attend(i, *(part[i] for part in new), SCALE) for i in range(L)])
        self.cache.advance()
        for row, clock in enumerate(self.cache.clocks):
            if clock:
                self.cache.count(row)
                self.tape[row] = [
                    torch.cat([old, part[:, row]], 2) for old, part in zip(self.tape[row], new, strict=True)
                ]
                self.outputs[row] = outputs[:, row, 0]

    def run(self, steps: int) -> None:
        """Steps, each with the evictions that are due after it."""
        for _ in range(steps):
            self.step()
            if due := self.cache.due():
                self.cache.evict(due)

    def positions(self, layer: int, row: int, head: int) -> list[int]:
        """Live positions, sorted."""
        columns = self.cache.layers[layer]
        return sorted(columns.positions[row, head, : columns.lengths[row, head]].tolist())

    def dense(self, row: int) -> torch.Tensor:
        """[L, Hq, D]: attention of the newest query over the whole tape."""
        queries, keys, values = self.tape[row]
        keys, values = (part.repeat_interleave(SHAPE.groups, 1) for part in (keys, values))
        logits = (queries[:, :, -1, None] @ keys.mT).squeeze(2) * SCALE
        return (logits.softmax(-1)[:, :, None] @ values).squeeze(2)


@pytest.fixture
def feed() -> Callable:
    def build(policy, *, batch_size: int = 2, longest_prompt: int = 12, longest: int = 60) -> Feed:
        return Feed(policy, batch_size, longest_prompt, longest)

    return build


@pytest.fixture(scope="session")
def shape() -> Shape:
    return SHAPE


@pytest.fixture(scope="session")
def scale() -> float:
    return SCALE
