import pytest
from kvarena.runners.generate import Request
from kvarena.runners.workers.request_queue import RequestQueue


@pytest.fixture
def requests():
    return [Request(name, 0, [1]) for name in "abcd"]


def test_a_queue_that_was_empty_gives_what_comes_later(requests):
    queue = RequestQueue()
    assert next(queue, None) is None
    queue.extend(requests[:2])
    assert list(queue) == requests[:2]
    assert list(queue) == []


def test_what_has_not_ended_comes_first_again_in_its_order(requests):
    queue = RequestQueue(requests)
    assert [next(queue) for _ in range(3)] == requests[:3]
    queue.ended(("b", 0))
    queue.put_back(queue.running)
    assert not queue.running
    assert [request.sample for request in queue] == ["a", "c", "d"]


def test_what_one_of_several_has_lost_is_put_back(requests):
    queue = RequestQueue(requests)
    taken = [next(queue) for _ in range(3)]
    queue.put_back({taken[2].key, taken[0].key})
    assert list(queue.running) == [("b", 0)]
    assert [request.sample for request in queue] == ["a", "c", "d"]
