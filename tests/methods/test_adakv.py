from dataclasses import dataclass, replace

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.policy import Eviction
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.tova import TOVA
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

# three heads of eight slots, the newest recent: scores of the seven that compete
SCORES = ((9, 8, 7, 6, 5, 4, 3), (2, 1, 0, 0, 0, 0, 1), (1, 2, 3, 4, 5, 6, 7))


@dataclass(frozen=True, kw_only=True)
class Given(Eviction):
    scores: tuple

    def score(self, view):
        return torch.tensor([[*row, 0] for row in self.scores], dtype=torch.float32)[None]


@pytest.fixture
def adakv(budget):
    """adakv(tokens, ...) of the scores above."""

    def build(tokens, *, scores=SCORES, sinks=0, **changes):
        of = Given(scores=scores, budget=budget(tokens, sinks=sinks))
        return AdaKV(budget=of.budget, of=of, **changes)

    return build


@pytest.fixture
def heads(view_of):
    return lambda policy, **changes: view_of(policy, torch.zeros(1, 3, 8, 2), **changes)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        # of 3 * 4 slots to win the first head takes six (9 to 4) and the last five (7 to 3); the tie of 3 goes to the
        # newer position, and the one left to the second head
        (0.0, [[0, 1, 2, 3, 4, 5, 6, 7], [7], [2, 3, 4, 5, 6, 7]]),
        # half an even share of four is two: the second head keeps 2 and the newer 1
        (0.5, [[0, 1, 2, 3, 4, 5, 7], [0, 6, 7], [3, 4, 5, 6, 7]]),
        (1.0, [[0, 1, 2, 3, 7], [0, 1, 5, 6, 7], [3, 4, 5, 6, 7]]),
    ],
    ids=["no_floor", "half", "even"],
)
def test_heads_compete_above_what_each_is_granted(adakv, heads, kept, alpha, expected):
    policy = adakv(5, alpha=alpha)
    assert kept(policy, heads(policy)) == [expected]
    assert sum(map(len, expected)) == 3 * 5


def test_a_ceiling_leaves_the_rest_to_the_others(adakv, heads, kept):
    """1.2 times 5 is six slots, five of them to win; the second head gets what the first may not."""
    policy = adakv(5, alpha=0, ceiling=1.2)
    assert kept(policy, heads(policy)) == [[[0, 1, 2, 3, 4, 7], [0, 6, 7], [2, 3, 4, 5, 6, 7]]]


def test_sinks_do_not_compete(adakv, heads, kept):
    policy = adakv(3, alpha=0, sinks=1)
    # slot 0 and the recent one everywhere; the three left go to 8, 7 and 7
    assert kept(policy, heads(policy)) == [[[0, 1, 2, 7], [0, 7], [0, 6, 7]]]


def test_heads_of_unlike_length_compete_again(adakv, heads, kept):
    """A second round: the first head holds five, the others two and five; all in all 12 of which three go."""
    policy = adakv(3, alpha=0.5)
    dead = -1
    held = [[0, 1, 2, 3, *[dead] * 3, 7], [0, *[dead] * 6, 7], [*[dead] * 3, 3, 4, 5, 6, 7]]
    view = heads(policy, positions=torch.tensor([held]), excess=1)
    # an even share of two, one of them granted: 2 in the second head; then 9, 8, 7, 7 and 6 of 6 and 6: the newer
    assert kept(policy, view) == [[[0, 1, 2, 7], [0, 7], [5, 6, 7]]]


def test_alpha_one_is_the_method_itself(view_of, kept, budget, rng):
    snapkv = SnapKV(budget=budget(10, recent=3))
    adakv = AdaKV(budget=snapkv.budget, of=snapkv, alpha=1)
    keys, queries = torch.randn(2, 3, 24, 8, generator=rng), torch.randn(2, 3, 2, 3, 8, generator=rng)
    assert kept(adakv, view_of(adakv, keys, queries=queries)) == kept(snapkv, view_of(snapkv, keys, queries=queries))


def test_scores_of_one_distribution_share_about_evenly(view_of, budget):
    random = Random(budget=budget(200))
    adakv = AdaKV(budget=random.budget, of=random, alpha=0)
    lengths = adakv.keep(view_of(adakv, torch.zeros(20, 4, 401, 1))).sum(-1)
    assert (lengths.sum(-1) == 800).all()
    # hypergeometric: sd of a head's 199 is sqrt(199 / 2 * 3 / 4) = 8.6
    assert ((lengths - 200).abs() < 4.5 * 8.6).all()
    assert (lengths - 200).abs().double().mean() > 3


def test_every_head_keeps_its_floor_and_the_total_is_exact(view_of, budget, rng):
    """Keys of ever larger norm: the last heads' attention is all on a few slots."""
    snapkv = SnapKV(budget=budget(21), smooth=1)
    keys = torch.randn(1, 4, 60, 8, generator=rng) * torch.tensor([0.1, 1, 5, 30]).view(1, 4, 1, 1)
    for alpha, floor in ((0.2, 1 + 4), (0.5, 1 + 10)):
        policy = AdaKV(budget=snapkv.budget, of=snapkv, alpha=alpha)
        view = view_of(policy, keys, queries=torch.randn(1, 4, 1, 1, 8, generator=rng))
        lengths = policy.keep(view).sum(-1)[0].tolist()
        assert sum(lengths) == 84
        assert min(lengths) == lengths[-1] == floor
        assert max(lengths) == lengths[0] > 30


def test_scores_of_minus_infinity_do_not_break_the_ceiling(view_of, budget):
    """Attention that underflows scores log 0: such slots still go after the ones above the ceiling."""
    attnv = VaSEAttnV(budget=budget(6), smooth=1, n_large=0)
    policy = AdaKV(budget=attnv.budget, of=attnv, alpha=0, ceiling=1.5)
    keys = torch.tensor([[0.0] * 13, [-500.0] * 10 + [0, 0, 0]]).view(1, 2, 13, 1)
    lengths = policy.keep(view_of(policy, keys, queries=[[1.0]])).sum(-1)[0]
    assert (lengths.max(), lengths.sum()) == (9, 12)


@pytest.mark.parametrize(("ceiling", "capacity"), [(None, 30 + 60), (1.5, 36 + 8), (1.0, 30 + 8)])
def test_a_head_has_room_for_what_it_may_win(model, budget, ceiling, capacity):
    """Decoding through eight rounds."""
    snapkv = SnapKV(budget=replace(budget(24, recent=8), interval=8), smooth=1)
    policy = AdaKV(budget=snapkv.budget, of=snapkv, alpha=0, ceiling=ceiling)
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=60, longest_prompt=30, batch_size=2)
    longest = []
    evict = decoder.evict

    def watched(rows):
        evict(rows)
        longest.append(max(layer.lengths.max().item() for layer in decoder.cache.layers))

    decoder.evict = watched
    (done,) = decoder.run([Request("a", 0, list(range(30)))])
    assert decoder.cache.capacity(0) == capacity
    assert len(longest) == done.usage.num_evictions == 8
    assert max(longest) + 8 <= capacity
    assert ceiling == 1 or max(longest) > 24
    assert done.usage.peak_slots == 32


def test_a_ceiling_around_a_pyramid_goes_by_what_a_layer_holds_now(model, budget):
    """The last layer's share falls from 16 slots to 8 while the first one fills; a tenth more may go to one head."""
    snapkv = SnapKV(budget=replace(budget(24, recent=6), interval=8), smooth=1)
    pyramid = Pyramid(budget=snapkv.budget, of=snapkv, beta=3)
    policy = AdaKV(budget=snapkv.budget, of=pyramid, alpha=0, ceiling=1.1)
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=30, longest_prompt=25, batch_size=1)
    lengths, evict = [], decoder.evict

    def watched(rows):
        evict(rows)
        lengths.append([layer.lengths[0].tolist() for layer in decoder.cache.layers])

    decoder.evict = watched
    list(decoder.run([Request("a", 0, list(range(25)))]))
    assert [[sum(heads) / 2 for heads in layers] for layers in lengths] == [[32, 24, 16], [40, 24, 8], [40, 24, 8]]
    assert [max(layers[2]) for layers in lengths] == [17, 8, 8]
    assert max(max(layers[1]) for layers in lengths) == 26
    assert [decoder.cache.capacity(layer) for layer in range(3)] == [44 + 8, 26 + 8, 26 + 8]


def test_it_goes_around_a_pyramid(budget):
    snapkv = SnapKV(budget=budget(40))
    policy = AdaKV(budget=snapkv.budget, of=Pyramid(budget=snapkv.budget, of=snapkv))
    assert [policy.tokens(layer, 3) for layer in range(3)] == [78, 40, 2]
    with pytest.raises(ValueError, match="inside a pyramid"):
        Pyramid(budget=snapkv.budget, of=policy)
    with pytest.raises(ValueError, match="compete already"):
        AdaKV(budget=snapkv.budget, of=policy)


def test_one_set_for_all_heads_has_nothing_to_compete_for(budget):
    tova = TOVA(budget=budget(40))
    for of in (tova, Pyramid(budget=tova.budget, of=tova)):
        with pytest.raises(ValueError, match="has heads that hold alike"):
            AdaKV(budget=tova.budget, of=of)


def test_the_wrapped_method_works_with_the_budget_of_the_wrapper(budget):
    policy = AdaKV(budget=budget(40, recent=9), of=SnapKV(budget=budget(10)))
    assert policy.of.budget == policy.budget
    assert policy.needs.queries == 9


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"alpha": -0.1}, "alpha=-0.1"), ({"alpha": 1.5}, "alpha=1.5"), ({"ceiling": 0.5}, "ceiling=0.5")],
    ids=["alpha_below_0", "alpha_above_1", "ceiling"],
)
def test_what_cannot_work_is_refused(adakv, changes, named):
    with pytest.raises(ValueError, match=named):
        adakv(5, **changes)


def test_without_rounds_in_decoding_a_head_has_room_for_the_sequence(budget):
    snapkv = SnapKV(budget=replace(budget(24), interval=0, prefill=True))
    assert AdaKV(budget=snapkv.budget, of=snapkv, ceiling=1.5).capacity(0, 3, 30) is None


def test_settings_of_another_type_are_refused(adakv, budget):
    with pytest.raises(ValueError, match=r"method.alpha=most: use a number"):
        adakv(5, alpha="most")
    with pytest.raises(ValueError, match=r"method.of=null: use"):
        AdaKV(budget=budget(5), of=None)
