"""A hand-made view of one layer, and what a policy keeps of it."""

from collections.abc import Callable

import pytest
from kvarena.contract.hand_made import kept, view_of
from kvarena.methods.budget import Budget


@pytest.fixture(scope="session", name="view_of")
def view_of_fixture() -> Callable:
    return view_of


@pytest.fixture(scope="session", name="kept")
def kept_fixture() -> Callable:
    return kept


@pytest.fixture
def budget() -> Callable:
    """budget(tokens, ...): one recent slot and no sinks unless said otherwise."""

    def build(tokens: int, *, recent: int = 1, sinks: int = 0, **changes) -> Budget:
        return Budget(tokens=tokens, recent=recent, sinks=sinks, interval=1, **changes)

    return build
