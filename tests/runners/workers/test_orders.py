"""What rank 0 hands out and what a rank that follows is handed, asked for equally often."""

from itertools import islice

from kvarena.runners.generate import Request
from kvarena.runners.workers.orders import SERVE, Orders
from torch.distributed import HashStore


def test_a_rank_that_follows_asks_as_often_as_there_is_nothing():
    """Or what is ordered next would be taken for a request that is not there."""
    store, late = HashStore(), []
    one, other = Request("1", 0, [1]), Request("2", 0, [2])

    class Growing:
        def __iter__(self):
            return self

        def __next__(self):
            if not late:
                raise StopIteration
            return late.pop(0)

    first, second = Orders(store=store), Orders(store=store)
    told = first.served(Growing())
    assert second.take() == SERVE
    heeded = second.requests()
    for coming in [one], [], [], [other], []:
        late[:] = coming
        assert list(islice(told, 4)) == list(islice(heeded, 4)) == coming
    first.give("next")
    assert second.take() == "next"
