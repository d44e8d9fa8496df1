import json
import math
from dataclasses import replace

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.foresight import Foresight, features, num_features
from kvarena.methods.heads import Heads
from kvarena.methods.scorer import Scorer, load_scorer, untrained


@pytest.fixture
def written(tmp_path):
    """written(weight_in, recent, interval): the file of a scorer of four layers and one head of one channel."""

    def write(column: int = 0, *, recent: int = 1, interval: int = 1, layers: int = 4) -> str:
        first = torch.zeros(layers, 1, num_features(1, 1), 16)
        first[:, :, column, 0] = 1
        second = torch.zeros(layers, 1, 16, 1)
        second[:, :, 0] = -2
        made = {"recent": recent, "interval": interval, "weights": {"model.safetensors": "f00d"}}
        parts = dict(weight_in=first, bias_in=torch.zeros(layers, 1, 1, 16), weight_out=second)
        scorer = Scorer(**parts, bias_out=torch.full((layers, 1, 1, 1), 0.5), made=made)
        file = tmp_path / f"{column}-{recent}-{interval}-{layers}.safetensors"
        file.write_bytes(scorer.to_bytes())
        return str(file)

    return write


def test_features_golden(budget, view_of):
    """Two query heads of 1 and 0, a window of 2; weights 1 and 3 and two recent slots of 4 and 8.

    Query 0 of the first sees 1, 3 and 4 of 8, its newest 1, 3, 4 and 8 of 16; the second head sees thirds and quarters.
    """
    policy = Foresight(budget=budget(3, recent=2), scorer=None)
    view = view_of(
        policy,
        [[math.log(weight)] for weight in (1, 3, 4, 8)],
        [[5.0], [6], [7], [8]],
        queries=[[[[[1.0], [1.0]], [[0.0], [0.0]]]]],
        mass=[0.1, 0.2, 0.3, 0.4],
        remembered=[2.0, -1, -1, -1],
    )
    found = features(view)[0, 0]
    assert found.shape == (4, num_features(2, 1))
    own, other = 1 / 8 + 1 / 16, 1 / 3 + 1 / 4
    first = [0, 5, 1 / 8, 1 / 16, own, own, own, own, 1 / 3, 1 / 4, other, other, other, other]
    assert found[0].tolist() == pytest.approx([*first, 0.1, 0.9 * 2 + (own + other) / 2])
    own = 3 / 8 + 3 / 16
    second = [math.log(3), 6, 3 / 8, 3 / 16, own, own, own, own, 1 / 3, 1 / 4, other, other, other, other]
    assert found[1].tolist() == pytest.approx([*second, 0.2, (own + other) / 2])
    # what the newest slots were given stays with them, causally
    expected = [1.8 + (1 / 8 + 1 / 16 + other) / 2, (own + other) / 2, (0.5 + 0.25 + other) / 2, (0.5 + 0.25) / 2]
    assert policy.remember(view)[0, 0].tolist() == pytest.approx(expected)


def test_the_newest_of_a_longer_window(budget, view_of, rng):
    """Sums over 16, 8 and 32 of 20 queries."""
    policy = Foresight(budget=budget(30, recent=20), scorer=None)
    keys, queries = torch.randn(1, 1, 40, 4, generator=rng), torch.randn(1, 1, 1, 20, 4, generator=rng)
    view = view_of(policy, keys, queries=queries, mass=torch.zeros(40))
    ahead = torch.arange(40) > torch.arange(20, 40)[:, None]
    shares = (queries[0, 0, 0] @ keys[0, 0].T / 2).masked_fill(ahead, -torch.inf).softmax(-1)
    expected = [shares.amax(0), shares.amin(0), *(shares[-n:].sum(0) for n in (20, 16, 8, 20))]
    torch.testing.assert_close(features(view)[0, 0, :, 8:14], torch.stack(expected, -1))


def test_score_golden(budget, view_of, kept, written):
    """The key goes through the first hidden unit alone: 0.5 - 2 gelu(key)."""
    policy = Foresight(budget=budget(3), scorer=written())
    view = view_of(policy, [[1.0], [-1], [0], [2], [9]], queries=[[1.0]], mass=torch.zeros(5))
    gelu = [0.841345, -0.158655, 0, 1.954500]
    score = policy.score(view)[0, 0]
    assert score[:4].tolist() == pytest.approx([0.5 - 2 * each for each in gelu], abs=1e-5)
    assert kept(policy, view) == [[[1, 2, 4]]]


def test_mass_and_what_is_remembered_count(budget, view_of, kept, written):
    for column, name in ((num_features(1, 1) - 2, "mass"), (num_features(1, 1) - 1, "remembered")):
        policy = Foresight(budget=budget(3), scorer=written(column))
        columns = {"mass": torch.zeros(5), "remembered": torch.zeros(5), name: [4.0, 1, 3, 2, 0]}
        view = view_of(policy, torch.zeros(5, 1), queries=[[1.0]], **columns)
        assert kept(policy, view) == [[[1, 3, 4]]]


def test_a_rank_has_the_networks_of_its_heads():
    whole = untrained(2, 4, 6, torch.device("cpu"))

    class Last(Heads):
        def own(self, whole):
            return whole[:, 2:]

    seen = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole(1, seen)[:, 2:], whole(1, seen[:, 2:], Last(first=2, ranks=2)))
    assert whole.size == (2, 4, 6)


def test_a_scorer_serves_one_model_and_one_window(budget, view_of, written):
    here, policy = {"model.safetensors": "f00d"}, Foresight(budget=budget(4), scorer=written(recent=2, interval=3))
    with pytest.raises(ValueError, match=r"saw 2 recent slots and a round every 3 steps, not 1 and 1: use "):
        policy.fits(here)
    own = replace(budget(4, recent=2), interval=3)
    around = AdaKV(budget=own, of=policy)
    assert around.trained
    around.fits(here)
    around.fits(here | {"config.json": "of another version of transformers"})
    for others in ({"model.safetensors": "bad"}, {}, here | {"model-2.safetensors": "1"}):
        with pytest.raises(ValueError, match=r"was trained on other weights \(model(-2)?.safetensors\) than the model"):
            around.fits(others)
    untrained = Foresight(budget=own, scorer=None)
    assert not untrained.trained
    untrained.fits({"model.safetensors": "bad"})
    wrong = Foresight(budget=budget(4), scorer=written(layers=3))
    with pytest.raises(ValueError, match=r"is of \(3, 1, 10\) layers, KV heads and features, not of \(4, 1, 10\)"):
        wrong.score(view_of(wrong, torch.zeros(6, 1), queries=[[1.0]], mass=torch.zeros(6)))


@pytest.mark.parametrize("content", [None, b"", b"text"], ids=["missing", "empty", "text"])
def test_what_is_no_scorer_is_refused(budget, tmp_path, content):
    file = tmp_path / "x.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.safetensors is no scorer of kvarena-foresight"):
        Foresight(budget=budget(4), scorer=str(file))


@pytest.mark.parametrize(
    "damage",
    [
        dict(bias_in=torch.zeros(3, 1, 1, 16)),
        dict(bias_in=torch.zeros(4, 1, 16)),
        dict(weight_out=torch.full((4, 1, 16, 1), torch.nan)),
        dict(made={"recent": 1, "interval": 1}),
        dict(made={"recent": 1, "interval": 1, "weights": "abc"}),
        dict(made={"recent": "x", "interval": 1, "weights": {}}),
    ],
    ids=["layers", "flat", "broken", "no_weights", "no_hashes", "no_number"],
)
def test_a_scorer_that_does_not_fit_together_is_refused(budget, tmp_path, written, damage):
    file = tmp_path / "x.safetensors"
    file.write_bytes(replace(load_scorer(written()), **damage).to_bytes())
    with pytest.raises(ValueError, match=r"x\.safetensors is no scorer of kvarena-foresight"):
        Foresight(budget=budget(4), scorer=str(file))


def test_what_is_written_is_read(written):
    scorer = load_scorer(written())
    assert json.loads(json.dumps(dict(scorer.made)))["recent"] == 1
    assert scorer.size == (4, 1, 10)
