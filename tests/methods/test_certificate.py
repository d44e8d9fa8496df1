"""What a survivor counts, and what the survivors say of the error, against all that could have been drawn."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from kvarena.contract.decoding import ALL, baseline, decode
from kvarena.contract.policies import policy_of
from kvarena.kernels.attend import Attended
from kvarena.kernels.variance.reference import LEAST, variance
from kvarena.methods.attn_random import AttnRandom
from kvarena.methods.budget import Budget
from kvarena.methods.certificate import Certificate
from kvarena.methods.random import Random
from kvarena.methods.scores import slot_gumbel
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV

WEIGHTS = (0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05)
TRIALS = 20_000


@pytest.fixture
def attended(view_of):
    """attended(policy, weights, rows): a view in which a query of 1 gives these weights to all slots but the recent."""

    def build(policy, weights, rows, **changes):
        keys = torch.tensor([*map(math.log, weights), 0.0])[:, None].expand(rows, 1, -1, 1)
        return view_of(policy, keys, queries=[[1.0]], **changes)

    return build


METHODS = {
    "random": lambda budget: Random(budget=budget),
    "vase_attnv": lambda budget: VaSEAttnV(budget=budget, smooth=1, n_large=0),
    "vase_attnv_large": lambda budget: VaSEAttnV(budget=budget, smooth=1, n_large=1),
    "attn_random": lambda budget: AttnRandom(budget=budget, smooth=1, n_random=3),
    # more are drawn than there is room for beside two sinks
    "attn_random_sinks": lambda budget: AttnRandom(budget=replace(budget, sinks=2), smooth=1, n_random=4),
}


@pytest.fixture(params=METHODS)
def policy(request, budget):
    """Five of eight stay, the recent one among them; two or more of them are drawn."""
    of = METHODS[request.param](budget(5))
    return Certificate(budget=of.budget, of=of)


def test_survivors_stand_for_all_on_average(policy, attended):
    """Whatever a token is worth, kept and divided by its chance it is worth that; so are squares and products."""
    view = attended(policy, WEIGHTS, TRIALS)
    keep = policy.keep(view)
    factor = policy.weigh(view, keep).exp() * keep
    assert (keep.sum(-1) == 5).all()
    mean, error = factor[:, 0].double().mean(0), factor[:, 0].double().std(0) / TRIALS**0.5
    assert ((mean - 1).abs() <= 4 * error + 1e-6).all()
    worth = torch.tensor([3.0, -1, 4, 1, 5, -9, 2, 6])
    total = (factor[:, 0] * worth).sum(-1)
    said = (factor[:, 0] * (factor[:, 0] - 1) * worth**2).sum(-1)  # (1 - pi) / pi^2
    assert said.mean().item() == pytest.approx(total.var().item(), rel=0.15, abs=1e-6)


def test_errors_of_two_slots_are_unrelated(policy, attended):
    view = attended(policy, WEIGHTS, TRIALS)
    keep = policy.keep(view)
    factor = ((policy.weigh(view, keep).exp() * keep)[:, 0] - 1).double()
    for i, j in combinations(range(7), 2):
        product = factor[:, i] * factor[:, j]
        assert product.mean().abs().item() <= 5 * product.std().item() / TRIALS**0.5 + 1e-6


def test_a_uniform_draw_by_hand(budget, view_of):
    """Of four numbers the two highest stay: each by the chance to be above the third."""
    policy = Certificate(budget=budget(3), of=Random(budget=budget(3)))
    view = view_of(policy, torch.zeros(5, 2), seed=7)
    uniform = policy.of.score(view)[0, 0, :4]
    third = uniform.sort().values[1].item()
    keep = policy.keep(view)
    bias = policy.weigh(view, keep)[0, 0]
    expected = [-math.log(1 - third) if own > third else 0 for own in uniform.tolist()]
    assert bias.tolist() == pytest.approx([*expected, 0])


def test_a_gumbel_has_to_exceed_what_the_others_leave_by_hand(attended, budget):
    """Of weights 0.3 to 0.05 three stay; a slot of weight w stays by 1 - exp(-w / t), t that of the highest victim."""
    of = VaSEAttnV(budget=budget(4), smooth=1, n_large=0)
    view = attended(of, WEIGHTS, 1, seed=3)
    drawn = [w * math.exp(g) for w, g in zip(WEIGHTS, slot_gumbel(view)[0, 0].tolist(), strict=False)]
    victim = sorted(drawn)[3]
    expected = [1 - math.exp(-w / victim) if own > victim else None for w, own in zip(WEIGHTS, drawn, strict=True)]
    keep = of.keep(view)
    assert keep[0, 0].tolist() == [one is not None for one in expected] + [True]
    found = of.chance(view, keep)[0, 0][keep[0, 0]].tolist()
    assert found == pytest.approx([one for one in expected if one is not None] + [1], rel=1e-4)


def test_chances_of_rounds_are_multiplied(budget, view_of):
    policy = Certificate(budget=budget(3), of=Random(budget=budget(3)))
    once, twice = (view_of(policy, torch.zeros(5, 2), seed=7, bias=bias) for bias in (0, [0.5, 0.5, 0.5, 0.5, 0]))
    keep = policy.keep(once)
    gained = policy.weigh(twice, keep) - policy.weigh(once, keep)
    assert gained[0, 0].tolist() == pytest.approx([0.5 * stays for stays in keep[0, 0, :4].tolist()] + [0])


def test_nothing_to_drop_leaves_every_chance_at_one(policy, attended):
    view = attended(policy, WEIGHTS, 3, excess=0)
    assert torch.equal(policy.weigh(view, policy.keep(view)), torch.zeros(3, 1, 8))


def test_what_is_sure_to_stay_has_no_bias(attended, budget):
    """Sinks, the recent, and the large values of VaSE."""
    of = VaSEAttnV(budget=budget(4, sinks=1), smooth=1, n_large=2)
    policy = Certificate(budget=budget(4, sinks=1), of=of)
    view = attended(policy, WEIGHTS, 200)
    keep = policy.keep(view)
    bias = policy.weigh(view, keep)
    sure = ~view.evictable | of.large(view)
    assert sure[0, 0].sum() == 3
    assert (bias[sure & keep] == 0).all()
    assert (bias[~sure & keep] > 0).all()


def test_the_variance_by_hand():
    """Two slots of probability 1/2, values 1 and 3, output 2; without the first, which stayed by 1/4, it is 3: 3/4."""
    keys, values, bias = torch.zeros(3, 1, 1, 64, 1)[..., None].squeeze(-1).unbind(0)
    values[..., 0, 0], values[..., 1, 0] = 1.0, 3.0
    bias = torch.zeros(1, 1, 64)
    bias[..., 0] = math.log(4)
    keys[..., 1, 0] = math.log(4)
    seen = Attended(torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1), math.log(8)))
    found = variance(torch.ones(1, 1, 1, 1), keys, values, torch.tensor([[2]]), seen, 1.0, bias)
    assert found.item() == pytest.approx(3 / 4)


@pytest.mark.parametrize(("sharpness", "low", "high"), [(0.3, 0.9, 1.1), (1, 0.85, 1.1), (4, 1.5, 4)])
def test_the_variance_is_right_where_attention_is_spread(view_of, budget, rng, sharpness, low, high):
    """One query, 2,000 draws of 64 of 128 tokens. Where one token has nearly all, the survivors of a draw that lost it
    say little of that: errors are larger than is stated."""
    policy = Certificate(budget=budget(64), of=Random(budget=budget(64)))
    keys, values, query = (torch.randn(1, 1, size, 16, generator=rng) for size in (128, 128, 1))
    view = view_of(policy, *(part.expand(2000, 1, -1, -1) for part in (keys, values)))
    keep = policy.keep(view)
    bias = policy.weigh(view, keep)
    logits = query[0, 0, 0] * sharpness @ keys[0, 0].T / 4
    shares = (logits + bias[:, 0]).masked_fill(~keep[:, 0], -torch.inf).softmax(-1)  # [2000, 128]
    output = shares @ values[0, 0]
    away = (values[0] - output[:, None]).square().sum(-1)
    odds = shares / (1 - shares).clamp(min=LEAST)
    stated = ((1 - (-bias[:, 0]).exp()) * odds.square() * away).sum(-1)
    error = (output - logits.softmax(-1) @ values[0, 0]).square().sum(-1)
    assert low < (error.mean() / stated.mean()).item() < high
    if sharpness <= 1:
        assert (error <= 4 * stated).float().mean() > 0.95


def test_each_step_says_how_far_it_is_off(model):
    """Nothing until a round has been, then something; a number a token."""
    for done in baseline(model, "certificate"):
        errors, first = done.usage.attention_error, done.usage.eviction_steps[0]
        assert len(errors) == len(done.token_ids)
        assert errors[:first] == [0] * first
        assert min(errors[first:]) > 0
    assert all(done.usage.attention_error is None for done in baseline(model, "vase_attnv"))


def test_a_budget_that_holds_all_is_off_by_nothing(model):
    for done in decode(model, policy_of("certificate", tokens=100), ALL):
        assert set(done.usage.attention_error) == {0}


@pytest.mark.parametrize("kind", [SnapKV, VaSEDKV])
def test_a_method_that_draws_no_slots_is_refused(kind):
    budget = Budget(tokens=24, recent=8, interval=8)
    with pytest.raises(ValueError, match=rf"method\.of={kind.__name__} draws no slots by chances that are known"):
        Certificate(budget=budget, of=kind(budget=budget))


def test_without_its_sample_vase_draws_none():
    budget = Budget(tokens=24, recent=8, interval=8)
    with pytest.raises(ValueError, match=r"method\.of=VaSEAttnV draws no slots"):
        Certificate(budget=budget, of=VaSEAttnV(budget=budget, sample=False))


@pytest.mark.parametrize(
    ("of", "room"),
    [
        (lambda budget: VaSEAttnV(budget=budget), dict(tokens=80, recent=60)),  # a quarter of 80 are large
        (lambda budget: VaSEAttnV(budget=budget, n_large=12), dict(tokens=[20, 80], recent=8)),
        (lambda budget: AttnRandom(budget=budget, n_random=0), dict(tokens=24, recent=8)),
    ],
    ids=["large", "a_layer", "none"],
)
def test_sure_slots_that_leave_no_room_for_a_draw_are_refused(of, room):
    """Nothing would stand for what goes, and the error would be stated as 0."""
    budget = Budget(interval=8, sinks=4, **room)
    with pytest.raises(ValueError, match=r"draws no slots .* with room to: fewer method\.of\.n_large"):
        Certificate(budget=budget, of=of(budget))


def test_one_large_slot_fewer_leaves_room_for_a_draw(view_of, rng):
    """19 of 20 slots beside the recent are large, one of the rest is drawn."""
    budget = Budget(tokens=80, recent=60, sinks=0, interval=8)
    policy = Certificate(budget=budget, of=VaSEAttnV(budget=budget, n_large=19))
    keys, values = torch.randn(2, 1, 1, 88, 4, generator=rng)
    view = view_of(policy, keys, values, queries=[[1.0, 0, 0, 0]] * 60)
    keep = policy.keep(view)
    assert keep.sum() == 80
    assert (policy.weigh(view, keep) > 0).sum() == 1
