import pytest
import torch
from kvarena.kernels.noise import PROJECTION, ROUNDS, SAMPLER, SLOTS, Noise
from kvarena.kernels.noise.reference import philox, uniform
from scipy import stats

MAX = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MAX, MAX), (MAX, MAX, MAX, MAX), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_known_answers_of_random123(key, counter, expected):
    words = philox(tuple(map(torch.tensor, key)), tuple(map(torch.tensor, counter)))
    assert tuple(word.item() for word in words) == expected


def test_counter_words_are_index_second_third_stream():
    noise = Noise(keys=torch.tensor([[0xA4093822, 0x299F31D0]]))
    words = noise.words(torch.tensor([0x243F6A88]), 0x85A308D3, 0x13198A2E, 0x03707344)
    assert [word.item() for word in words] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_uniform_excludes_both_ends():
    low, high = uniform(torch.tensor([0, MAX])).tolist()
    assert (low, high) == (2**-24, 1 - 2**-24)


@pytest.mark.parametrize(
    ("name", "law"), [("uniform", stats.uniform), ("gumbel", stats.gumbel_r), ("normal", stats.norm)]
)
def test_law(noise_of, name, law):
    numbers = getattr(noise_of(1), name)(torch.arange(50_000)[None], 0, 0, SLOTS)
    assert numbers.isfinite().all()
    assert stats.kstest(numbers.flatten().double().numpy(), law.cdf).pvalue > 1e-3


def test_gumbel_of_the_extreme_words_is_finite(monkeypatch, noise_of):
    monkeypatch.setattr(Noise, "words", lambda *_: (torch.tensor([0, MAX]),))
    low, high = noise_of(1).gumbel(torch.arange(2), 0, 0, SLOTS).tolist()
    assert low == pytest.approx(-2.8115, abs=1e-3)  # -log(24 log 2)
    assert high == pytest.approx(16.6355, abs=1e-3)  # 24 log 2


def test_a_row_does_not_depend_on_its_batch(noise_of):
    noise, index = noise_of(5), torch.arange(1000)[None]
    chosen = torch.tensor([3, 1])
    whole = noise.gumbel(index, 2, 3, SLOTS)
    assert torch.equal(noise.rows(chosen).gumbel(index, 2, 3, SLOTS), whole[chosen])
    assert not torch.equal(whole[3], whole[1])


@pytest.mark.parametrize(
    "other",
    [
        dict(seed=1),
        dict(sample="8"),
        dict(draw=1),
        dict(second=1),
        dict(third=1),
        dict(third=ROUNDS),
        dict(stream=PROJECTION),
        dict(stream=SAMPLER),
    ],
    ids=lambda other: "-".join(f"{key}{value}" for key, value in other.items()),
)
def test_every_part_of_the_key_and_counter_matters(other):
    def draw(seed=0, sample="7", draw=0, second=0, third=0, stream=SLOTS):
        noise = Noise(keys=torch.tensor([Noise.key(seed, sample, draw)]))
        return noise.uniform(torch.arange(1000)[None], second, third, stream).squeeze(0)

    one, two = draw(), draw(**other)
    assert (one == two).sum() < 5
    assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1].item()) < 0.15
    assert torch.equal(two, draw(**other))


def test_key_is_two_words_and_does_not_confuse_its_parts():
    keys = [Noise.key(seed, sample, draw) for seed in (1, 11) for sample in ("1", "1/1", "11") for draw in (1, 11)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= word <= MAX for key in keys for word in key)
