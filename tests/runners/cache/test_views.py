"""What a selection sees at a step."""

from dataclasses import dataclass, field, fields

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.policy import Needs, Selection
from kvarena.methods.quest import Quest

BUDGET = Budget(tokens=8, recent=1)


@dataclass(frozen=True, kw_only=True)
class Watcher(Selection):
    """Reads everything, and keeps what it was shown."""

    budget: Budget = BUDGET
    page: int = 4
    seen: list = field(default_factory=list)

    @property
    def needs(self):
        return Needs(queries=4, page=4, mass=True, rank=True)

    def constants(self, keys, values):
        return values.sum(-1, keepdim=True)

    def read(self, query, view):
        if view.layer == 1:
            self.seen.append((query.clone(), view, {f.name: getattr(view, f.name) for f in fields(view)}))


@pytest.fixture
def seen(feed):
    """Rows of 11 and 6 tokens after four steps, and one that is idle since it held 12."""
    policy = Watcher()
    rows = feed(policy, batch_size=3)
    rows.admit(2, 12)
    rows.run(1)
    rows.cache.release(2)
    rows.admit(0, 7)
    rows.admit(1, 2)
    rows.run(4)
    return rows, *policy.seen[-1]


def test_the_steps_token_is_among_the_live_slots(seen):
    _, _, view, parts = seen
    assert view.num_live.tolist() == parts["live"].sum(-1).tolist() == [[11, 11], [6, 6], [1, 1]]
    for row, count in ((0, 11), (1, 6), (2, 1)):
        positions = parts["positions"][row, 1].tolist()
        assert positions[:count] == list(range(count))
        assert set(positions[count:]) == {-1}
    for mask in ("candidates", "evictable"):
        assert torch.equal(parts[mask], parts["live"])


def test_nothing_is_due(seen):
    _, _, view, parts = seen
    assert (view.layer, view.num_layers) == (1, 2)
    assert parts["excess"].tolist() == parts["round"].tolist() == [0, 0, 0]
    assert parts["excess"].dtype == parts["round"].dtype == torch.int32


def test_the_steps_query_is_the_newest(seen):
    rows, query, _, parts = seen
    assert torch.equal(parts["queries"][:2, :, :, -1], query[:2])
    newest = rows.tape[0][0][1].unflatten(0, (2, 2))[:, :, -4:]
    assert torch.equal(parts["queries"][0], newest)


def test_columns_are_those_of_the_cache(seen):
    rows, _, _, parts = seen
    memory = rows.cache.layers[1]
    for name in ("keys", "values", "mass", "rank", "page_min", "page_max"):
        assert parts[name].data_ptr() == getattr(memory, name).data_ptr()
    assert torch.equal(parts["constants"], memory.values.sum(-1, keepdim=True))
    assert torch.equal(parts["noise"].keys, rows.cache.noise.keys)


def test_what_is_not_looked_at_is_not_made(feed):
    """Quest's choice takes no pass over the slots, so its step does not grow with their number but for the reading."""
    policy = Quest(budget=BUDGET, page=4, dense_layers=0)
    rows = feed(policy)
    shown = []
    rows.admit(0, 12)
    reading = rows.cache._reading
    rows.cache._reading = lambda *inputs: shown.append(reading(*inputs)) or shown[-1]
    rows.run(1)
    assert len(shown) == 2
    made = {"live", "positions", "queries", "constants", "excess"}
    assert all(not made & vars(view).keys() for view in shown)
