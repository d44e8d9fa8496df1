"""Kernels of a step of Quest over a long context, beside dense attention to it.

B rows, H KV heads, G query heads per KV head, N slots, D head dim.
"""

from collections.abc import Iterator
from functools import partial

import torch
from case import PAGE, SCALE, Case, H, close, memory, num_token_bytes, token_of
from kvarena.kernels import append, attend, pages
from kvarena.kernels.attend import reference as attend_reference
from kvarena.kernels.pages import reference as pages_reference
from torch import Tensor

CONTEXT, BATCH, READ = 32768, 8, 2048


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
