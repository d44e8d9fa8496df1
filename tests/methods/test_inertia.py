import pytest
import torch
from kvarena.kernels import attend
from kvarena.methods.h2o import H2O
from kvarena.methods.inertia import InertiaKV
from kvarena.methods.tova import TOVA


def test_the_least_attended_go(view_of, kept, budget):
    policy = InertiaKV(budget=budget(4, recent=2))
    view = view_of(policy, [[0.0]] * 7, mass=[3.0, 0.5, 2.0, 0.4, 5.0, 0.1, 0.0])
    assert kept(policy, view) == [[[0, 4, 5, 6]]]


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(1.0, [1.55, 1.45, 0.0]), (0.5, [0.825, 0.925, 0.0]), (0.0, [0.5, 0.5, 0.0])],
)
def test_a_step_leaves_alpha_of_what_was_there(alpha, expected):
    """Weights 4 to 1, then 1 to 3, then 1 to 1, of two live slots: .8, .25, .5 and .2, .75, .5."""
    mass = torch.zeros(1, 1, 3)
    keys = torch.tensor([[4.0, 1], [1, 3], [9, 9]]).log().view(1, 1, 3, 2)
    lengths = torch.tensor([[2]], dtype=torch.int32)
    for query in (torch.tensor([1.0, 0]), torch.tensor([0.0, 1]), torch.zeros(2)):
        query = query.view(1, 1, 1, 2)
        lse = (query @ keys[:, :, :2].mT).logsumexp(-1)
        attend.add_mass(mass, query, keys, lengths, lse, scale=1.0, decay=alpha)
    assert mass.flatten().tolist() == pytest.approx(expected)


def test_alpha_one_is_h2o_without_its_own_recent_slots(view_of, kept, budget, rng):
    inertia, h2o = InertiaKV(budget=budget(9), alpha=1), H2O(budget=budget(9))
    assert inertia.needs == h2o.needs
    keys, mass = torch.randn(2, 2, 20, 4, generator=rng), torch.rand(2, 2, 20, generator=rng)
    assert kept(inertia, view_of(inertia, keys, mass=mass)) == kept(h2o, view_of(h2o, keys, mass=mass))


def test_alpha_zero_is_tova_of_a_head(view_of, kept, budget, rng):
    inertia, tova = InertiaKV(budget=budget(8), alpha=0), TOVA(budget=budget(8))
    keys, query = torch.randn(3, 1, 20, 8, generator=rng), torch.randn(3, 1, 2, 8, generator=rng)
    lengths, mass = torch.full((3, 1), 20, dtype=torch.int32), torch.rand(3, 1, 20, generator=rng)
    lse = (query @ keys.mT / 8**0.5).logsumexp(-1)
    attend.add_mass(mass, query, keys, lengths, lse, scale=8**-0.5, decay=inertia.needs.decay)
    sets = kept(inertia, view_of(inertia, keys, mass=mass))
    assert sets == kept(tova, view_of(tova, keys, queries=query[:, :, :, None]))


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_outside_0_1_is_refused(budget, alpha):
    with pytest.raises(ValueError, match=rf"method.alpha={alpha}: use 0 \(the newest query alone\) to 1"):
        InertiaKV(budget=budget(4), alpha=alpha)
