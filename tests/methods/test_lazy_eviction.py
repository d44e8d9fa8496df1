import pytest
import torch
from kvarena.kernels import attend
from kvarena.methods.budget import Budget
from kvarena.methods.lazy_eviction import LazyEviction
from kvarena.methods.recurrence import AsReleased, AsWritten

FORMS = {"released": AsReleased(), "paper": AsWritten()}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        # 2 s(-1) and none; 2 s(-2) + 2 s(0); 2 s(-3) + 2 s(-1); 2 s(-2) + 2 s(-3); none
        ("released", [0.537883, 1.238406, 0.632734, 0.333257, 0.0]),
        # 2 s(0) and none; 2 s(-1) + 2 s(-1); 2 s(-2) + 2 s(-1/2); 2 s(-1) + 2 s(-1/4); none
        ("paper", [1.0, 1.075766, 0.993487, 1.413529, 0.0]),
    ],
)
def test_score_golden(view_of, budget, form, expected):
    """At position 9: 0, 1, 4, 4 and 3 positions since the last use, longest gaps of 0, 1, 2, 4 and 0."""
    policy = LazyEviction(budget=budget(4, recent=2), recurrence=FORMS[form])
    given = dict(positions=[1, 2, 3, 4, 5, 9], last_used=[9, 8, 5, 5, 6, 9], longest_gap=[0, 1, 2, 4, 0, 0])
    view = view_of(policy, torch.zeros(6, 2), **given)
    assert policy.score(view).flatten()[:5].tolist() == pytest.approx(expected, abs=1e-5)


def test_uses_golden():
    """Three slots, the last one new at position 7, and two queries of a group: shares .5 .25 .25 and .1 .8 .1."""
    last_used, longest_gap = (torch.tensor(c, dtype=torch.int32).view(1, 1, 4) for c in ([4, 2, 99, 5], [3, 1, 88, 6]))
    keys = torch.tensor([[2.0, 1], [1, 8], [1, 1], [9, 9]]).log().view(1, 1, 4, 2)
    query, lengths = torch.eye(2).view(1, 1, 2, 2), torch.tensor([[3]], dtype=torch.int32)
    lse = (query @ keys[:, :, :3].mT).logsumexp(-1)
    for least, used, gaps in ((0.5, [7, 7, 6, 5], [3, 5, 0, 6]), (0.2, [7, 7, 7, 5], [3, 5, 1, 6])):
        columns = last_used.clone(), longest_gap.clone()
        attend.note_uses(*columns, query, keys, lengths, lse, torch.tensor([7]), scale=1.0, least=least)
        assert [column.flatten().tolist() for column in columns] == [used, gaps]


class Release:
    """Its `TempCache` and the score of `update_kv_in_decoding`, for one row; a record for each head."""

    def __init__(self, heads: int, prompt: int) -> None:
        self.last, self.period = torch.zeros(2, heads, prompt, dtype=torch.float64)

    def record(self, weights, step: int, alpha: float) -> None:
        """weights [H, n]."""
        if step == 1:
            pad = weights.shape[1] - self.last.shape[1]  # it begins at the first step, whose token it has already
            self.last, self.period = (torch.nn.functional.pad(part, (0, pad)) for part in (self.last, self.period))
        else:
            self.last = torch.nn.functional.pad(self.last, (0, 1), value=step - 1)
            self.period = torch.nn.functional.pad(self.period, (0, 1))
        old = self.last.clone()
        self.last[weights >= alpha] = step
        self.period = torch.maximum(self.period, self.last - old)

    def scores(self, step: int):
        s = torch.where(self.period == 0, 0.0, 2 / (1 + torch.exp(self.period - 1)))
        return 2 / (1 + torch.exp(1 + (step - self.last) / (self.period + 1e-5))) + s


def test_is_the_arithmetic_of_the_release(view_of, rng):
    """Two heads of one query head each, a prompt of nine, 28 steps; 16 slots stay, five of them recent."""
    window, prompt, alpha = 5, 9, 0.06
    policy = LazyEviction(budget=Budget(tokens=16, recent=window, sinks=0, interval=window), used=alpha)
    release = Release(2, prompt)
    keys, positions = torch.randn(1, 2, prompt, 4, generator=rng), torch.arange(prompt).expand(1, 2, -1)
    used, gaps = (torch.full((1, 2, prompt), value, dtype=torch.int32) for value in (prompt - 1, 0))
    rounds = 0
    for step in range(1, 29):
        position = prompt - 1 + step
        keys = torch.cat([keys, torch.randn(1, 2, 1, 4, generator=rng)], 2)
        positions = torch.cat([positions, torch.full((1, 2, 1), position)], 2)
        used, gaps = (torch.nn.functional.pad(column, (0, 1), value=77) for column in (used, gaps))
        query, num = torch.randn(1, 2, 1, 4, generator=rng), keys.shape[2]
        logits = query @ keys.mT / 2
        lengths = torch.full((1, 2), num, dtype=torch.int32)
        attend.note_uses(
            used, gaps, query, keys, lengths, logits.logsumexp(-1), torch.tensor([position]), scale=0.5, least=alpha
        )
        release.record(logits.softmax(-1)[0, :, 0], step, alpha)
        assert (used[0] - (prompt - 1)).tolist() == release.last.tolist()
        assert gaps[0].tolist() == release.period.tolist()
        if step % window or num <= 16:
            continue
        view = view_of(policy, keys, positions=positions, last_used=used, longest_gap=gaps)
        theirs = release.scores(step)
        torch.testing.assert_close(policy.score(view)[0].double(), theirs, rtol=1e-5, atol=1e-7)
        keep = policy.keep(view)
        assert keep.sum(-1).tolist() == [[16, 16]]
        assert keep[..., -window:].all()
        best = theirs[:, :-window].topk(16 - window, -1).values.sort(-1).values
        # equal scores are many: which of them go is another matter
        older = keep[0, :, :-window]
        assert theirs[:, :-window][older].view(2, -1).sort(-1).values.tolist() == best.tolist()
        positions, used, gaps = (column[keep].view(1, 2, 16) for column in (positions, used, gaps))
        keys = keys[keep].view(1, 2, 16, 4)
        release.last, release.period = (part[keep[0]].view(2, 16) for part in (release.last, release.period))
        rounds += 1
    assert rounds == 4


@pytest.mark.parametrize("used", [0.0, -0.1, 1.1])
def test_a_use_is_of_a_probability(budget, used):
    with pytest.raises(ValueError, match=f"method.used={used}: use a probability above 0, at most 1"):
        LazyEviction(budget=budget(4), used=used)
