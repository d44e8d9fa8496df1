"""Kernels of a round: scores, noise, and the eviction itself.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, W window.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from case import HALF, B, Case, D, G, H, N, W, memory
from kvarena.kernels import evict, noise, pool, score
from kvarena.kernels.evict import reference as evict_reference
from kvarena.kernels.noise import Noise
from kvarena.kernels.pool import reference as pool_reference
from kvarena.kernels.score import reference as score_reference

EXCESS = 64


def eviction() -> Iterator[Case]:
    ours = memory()
    columns = [ours.keys, ours.values, ours.positions, ours.mass]
    rows = torch.arange(B, device="cuda")
    due = dict(
        score=torch.randn(B, H, N, device="cuda"),
        positions=ours.positions.clone(),
        evictable=torch.ones(B, H, N, dtype=torch.bool, device="cuda"),
        excess=torch.full((B,), EXCESS, dtype=torch.int32, device="cuda"),
    )

    def run() -> None:
        ours.lengths.fill_(N)
        evict.drop(columns, ours.lengths, rows, **due)

    def check() -> None:
        theirs = [column.clone() for column in columns]
        lengths = torch.full_like(ours.lengths, N)
        evict_reference.drop(theirs, lengths, rows, *due.values())
        run()
        assert all(map(torch.equal, columns, theirs))
        assert torch.equal(ours.lengths, lengths)

    moved = 2 * EXCESS * sum(column[:, :, 0].nbytes for column in columns)
    yield Case("drop", run, moved + due["score"].nbytes + due["positions"].nbytes + due["evictable"].nbytes, check)


def scores() -> Iterator[Case]:
    keys, values = torch.randn(B, H, N, D, **HALF), torch.randn(B, H, N, D, **HALF)
    queries = torch.randn(B, H, G, W, D, **HALF)
    support = torch.rand(B, H, N, device="cuda") < 0.98
    gauss = torch.randn(B, 1, D, 20, device="cuda")
    attention = queries, keys, support[:, :, None]
    both = keys.nbytes + values.nbytes
    for name, inputs, num_bytes, tolerance in (
        ("mean_softmax", attention, 2 * keys.nbytes, 1e-4),
        ("mean_cosine", (keys, support), 2 * keys.nbytes, 1e-4),
        ("leverage", (keys, values, gauss), both, 1e-3),
        ("value_range", (values,), values.nbytes, 0.0),
    ):
        ours, twin = getattr(score, name), getattr(score_reference, name)

        run, other = partial(ours, *inputs), partial(twin, *inputs)

        def check(run: Callable = run, other: Callable = other, tolerance: float = tolerance) -> None:
            torch.testing.assert_close(run(), other(), rtol=tolerance, atol=1e-6)

        yield Case(name, run, num_bytes, check)

    line = torch.rand(B, H, N, device="cuda"), torch.randperm(40_000, device="cuda")[:N].int().repeat(B, H, 1), support

    def check_pool() -> None:
        assert torch.equal(pool.mean(*line, 5), pool_reference.mean(*line, 5))

    yield Case("pool", partial(pool.mean, *line, 5), 13 * B * H * N, check_pool)


def randomness() -> Iterator[Case]:
    keys = torch.randint(2**32, (B, 2))
    counter = (
        torch.randint(40_000, (B, H, N), dtype=torch.int32),
        torch.arange(H)[:, None],
        torch.arange(B)[:, None, None],
    )
    here, there = Noise(keys=keys), Noise(keys=keys.cuda())
    moved = tuple(value.cuda() for value in counter)

    def check() -> None:
        assert torch.equal(there.uniform(*moved, noise.SLOTS).cpu(), here.uniform(*counter, noise.SLOTS))
        for name in ("gumbel", "normal"):
            ours, twin = (getattr(n, name)(*c, noise.SLOTS) for n, c in ((there, moved), (here, counter)))
            torch.testing.assert_close(ours.cpu(), twin, rtol=1e-6, atol=1e-6)

    yield Case("gumbel", lambda: there.gumbel(*moved, noise.SLOTS), 2 * moved[0].nbytes, check)
