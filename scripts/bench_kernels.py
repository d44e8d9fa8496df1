"""Times every Triton kernel at the shape of one Qwen3-14B layer on a GPU, each only after it has equalled its twin.

    python scripts/bench_kernels.py            # all; or the names of some: python scripts/bench_kernels.py attend drop

One line a kernel: median time in a CUDA graph, the bytes that it must move over that time, and the share of the copy
bandwidth that this is, measured first in the same process.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, W window.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import torch
from kvarena.kernels import append, attend, evict, noise, pages, score
from kvarena.kernels.append import reference as append_reference
from kvarena.kernels.attend import reference as attend_reference
from kvarena.kernels.evict import reference as evict_reference
from kvarena.kernels.noise import Noise
from kvarena.kernels.pages import reference as pages_reference
from kvarena.kernels.score import reference as score_reference
from torch import Tensor
from triton.testing import do_bench_cudagraph

B, H, G, D, N, W = 16, 8, 5, 128, 4160, 64
CONTEXT, BATCH, PAGE, READ = 32768, 8, 16, 2048  # of the selection
EXCESS = 64
SCALE = D**-0.5
HALF = dict(dtype=torch.bfloat16, device="cuda")


class Case(NamedTuple):
    name: str
    run: Callable[[], object]
    num_bytes: int  # that must move
    check: Callable[[], None]
    beside: str = ""  # another's name, whose time this is a share of


def close(actual: Tensor, expected: Tensor, tolerance: float = 2e-2) -> None:
    torch.testing.assert_close(actual.float(), expected.float(), rtol=tolerance, atol=tolerance)


def attention() -> Iterator[Case]:
    query = torch.randn(B, H, G, D, **HALF)
    keys, values = torch.randn(B, H, N, D, **HALF), torch.randn(B, H, N, D, **HALF)
    lengths = torch.full((B, H), N, dtype=torch.int32, device="cuda")

    def run() -> attend.Attended:
        return attend.attend(query, keys, values, lengths, longest=N, scale=SCALE)

    def check() -> None:
        for ours, twin in zip(
            run()[:2], attend_reference.attend(query, keys, values, lengths, N, SCALE, None), strict=True
        ):
            close(ours, twin)

    yield Case("attend", run, 2 * keys.nbytes, check)

    mass = torch.zeros(B, H, N, device="cuda")
    lse = run().lse

    def check_mass() -> None:
        mass.zero_()
        attend.add_mass(mass, query, keys, lengths, lse, scale=SCALE)
        close(mass, attend_reference.mass(query, keys, lengths, lse, SCALE), 1e-4)

    yield Case(
        "mass",
        lambda: attend.add_mass(mass, query, keys, lengths, lse, scale=SCALE),
        keys.nbytes + 2 * mass.nbytes,
        check_mass,
    )


def memory(rows: int = B, slots: int = N) -> SimpleNamespace:
    return SimpleNamespace(
        keys=torch.randn(rows, H, slots, D, **HALF),
        values=torch.randn(rows, H, slots, D, **HALF),
        positions=torch.arange(slots, dtype=torch.int32, device="cuda").repeat(rows, H, 1),
        mass=torch.zeros(rows, H, slots, device="cuda"),
        rank=torch.zeros(rows, H, slots, dtype=torch.int32, device="cuda"),
        lengths=torch.full((rows, H), slots - 1, dtype=torch.int32, device="cuda"),
        queries=torch.randn(rows, H, G, W, D, **HALF),
        page_min=torch.randn(rows, H, slots // PAGE, D, **HALF),
        page_max=torch.randn(rows, H, slots // PAGE, D, **HALF),
    )


class QuestLayer:
    """A layer of full rows under Quest, and what a step does with it; every step writes to the last slot."""

    def __init__(self) -> None:
        self.memory = memory(BATCH, CONTEXT)
        self.memory.page_min, self.memory.page_max = pages.bounds(self.memory.keys, PAGE)
        self.memory.mass = self.memory.rank = self.memory.queries = torch.empty(0, device="cuda")  # nobody needs them
        self.token = token_of(BATCH, active=0)
        self.query, self.active = self.token["query"], self.token["active"] + 1
        self.total = torch.zeros(BATCH, dtype=torch.int64, device="cuda")
        self.lengths = self.write()
        self.bounds = self.query, self.memory.page_min, self.memory.page_max
        self.scores = self.rate()
        self.pages = self.choose()

    def write(self) -> Tensor:
        return append.append(self.memory, **self.token)

    def rate(self) -> Tensor:
        return pages.score(*self.bounds, self.lengths, page=PAGE, per_query_head=False)

    def choose(self) -> Tensor:
        return pages.top(self.scores, self.lengths, page=PAGE, count=READ // PAGE)

    def read(self, chosen: Tensor | None) -> attend.Attended:
        slots, span = (self.memory.keys, self.memory.values, self.lengths), dict(longest=CONTEXT, scale=SCALE)
        return attend.attend(self.query, *slots, **span, pages=chosen, page=PAGE)

    def count(self) -> None:
        attend.add_reads(self.total, self.lengths, self.active, pages=self.pages, page=PAGE, num_slots=CONTEXT)

    def step(self) -> attend.Attended:
        self.lengths = self.write()
        self.scores = self.rate()
        self.pages = self.choose()
        self.count()
        return self.read(self.pages)

    def check_read(self, chosen: Tensor | None) -> None:
        reads = None if chosen is None else attend_reference.slots_of_pages(chosen, PAGE, CONTEXT)
        slots = self.memory.keys, self.memory.values, self.lengths
        twin = attend_reference.attend(self.query, *slots, CONTEXT, SCALE, reads)
        for ours, other in zip(self.read(chosen), twin, strict=True):
            close(ours, other)

    def check_choice(self) -> None:
        twin = pages_reference.score(*self.bounds, self.lengths, PAGE, False)
        torch.testing.assert_close(self.rate(), twin, rtol=1e-4, atol=1e-3)
        assert torch.equal(self.choose(), pages_reference.top(self.scores, self.lengths, PAGE, READ // PAGE))

    def check_count(self) -> None:
        self.total.zero_()
        self.count()
        assert self.total.tolist() == [H * READ] * BATCH


def selection() -> Iterator[Case]:
    """Dense attention of a long context, then Quest's with all that comes with it."""
    layer, dense = QuestLayer(), "attend dense 32k"
    both = 2 * layer.memory.keys.nbytes
    some, passed = both * READ // CONTEXT, 2 * layer.memory.page_min.nbytes
    listed, token = layer.pages.nbytes, num_token_bytes(layer.token)
    yield Case(dense, partial(layer.read, None), both, partial(layer.check_read, None))
    yield Case("quest append", layer.write, token, lambda: None, dense)  # its twin is at `append`
    yield Case("quest scores", layer.rate, passed + layer.scores.nbytes, layer.check_choice, dense)
    yield Case("quest top", layer.choose, layer.scores.nbytes + listed, layer.check_choice, dense)
    attended, check = partial(layer.read, layer.pages), partial(layer.check_read, layer.pages)
    yield Case("quest attend", attended, some + listed, check, dense)
    yield Case("quest reads", layer.count, listed, layer.check_count, dense)
    yield Case("quest in all", layer.step, passed + some, lambda: close(layer.step()[0], attended()[0]), dense)


def token_of(rows: int, active: int) -> dict[str, Tensor | int]:
    """What `append` writes."""
    return dict(
        query=torch.randn(rows, H, G, D, **HALF),
        key=torch.randn(rows, H, D, **HALF),
        value=torch.randn(rows, H, D, **HALF),
        position=torch.full((rows,), N, device="cuda"),
        active=torch.full((rows,), active, dtype=torch.int32, device="cuda"),
        page=PAGE,
    )


def num_token_bytes(token: dict) -> int:
    return 2 * sum(token[name].nbytes for name in ("query", "key", "value"))


def step_writes() -> Iterator[Case]:
    ours = memory()
    theirs = SimpleNamespace(**{name: column.clone() for name, column in vars(ours).items()})
    token = token_of(B, active=1)

    def check() -> None:
        assert torch.equal(append.append(ours, **token), append_reference.append(theirs, *token.values()))
        assert all(torch.equal(column, getattr(theirs, name)) for name, column in vars(ours).items())
        token["active"].zero_()  # the timed runs then write to one slot
        ours.lengths.fill_(N - 1)

    yield Case("append", lambda: append.append(ours, **token), num_token_bytes(token), check)


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

    positions = torch.arange(N, dtype=torch.int32, device="cuda").repeat(B, H, 1)
    sort = partial(positions.argsort, dim=-1, stable=True)
    yield Case("argsort of positions", sort, 3 * positions.nbytes, lambda: None)


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


def copy_bandwidth() -> float:
    """GB/s, bytes read and written."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / do_bench_cudagraph(lambda: target.copy_(source), return_mode="median") / 1e6


def main(names: list[str]) -> None:
    torch.manual_seed(0)
    copy = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: copy {copy:.0f} GB/s")
    times = {}
    for cases in (attention, selection, step_writes, eviction, scores, randomness):
        for case in cases():
            if names and case.name.split()[0] not in names:
                continue
            case.check()
            ms = times[case.name] = do_bench_cudagraph(case.run, return_mode="median")
            rate = case.num_bytes / ms / 1e6
            share = f"  {ms / times[case.beside]:6.1%} of {case.beside}" if case.beside in times else ""
            print(
                f"{case.name:24s} {1e3 * ms:9.1f} us  {rate:6.0f} GB/s  {rate / copy:6.1%} of copy{share}", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
