"""Steps of fewer rows as a run ends: what is said, kept and counted is what it is without."""

from functools import partial

import pytest
import torch
from kvarena.kernels.pack import Affine
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.gkv import GKV
from kvarena.methods.h2o import H2O
from kvarena.methods.lazy_eviction import LazyEviction
from kvarena.methods.quest import Quest
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.runners.cache import Storage, cache
from kvarena.runners.fidelity import fidelity
from kvarena.runners.generate import Decoder, Request, narrowing, sizes
from kvarena.runners.generate.narrowing import Narrowing, fitting
from kvarena.runners.sampler import Greedy, Sampling
from safetensors.torch import load_file

BUDGET = Budget(tokens=24, recent=8, sinks=2, interval=4)
POLICIES = {
    "full": Full(),
    "vase_attnv": VaSEAttnV(budget=BUDGET),
    "vase_dkv": VaSEDKV(budget=BUDGET),
    "snapkv": SnapKV(budget=BUDGET),
    "h2o": H2O(budget=BUDGET),
    "adakv": AdaKV(budget=BUDGET, of=SnapKV(budget=BUDGET)),
    "quest": Quest(budget=BUDGET, page=4, dense_layers=1),
    "random": Random(budget=BUDGET),
    "gkv": GKV(budget=BUDGET),
    "lazy_eviction": LazyEviction(budget=BUDGET),
}
INT4 = Storage(keys=Affine(bits=4, group=16), values=Affine(bits=4, group=16), residual=4)
PENALISED = Sampling(temperature=1.2, repetition_penalty=1.3, no_repeat_ngram_size=3)
# the longest are not in the first places when the others have ended
LENGTHS = [9, 5, 20, 60, 12, 34, 7]
WORDS = torch.randint(1, 64, (7, 110), generator=torch.Generator().manual_seed(0)).tolist()


@pytest.fixture(autouse=True)
def row_by_row(monkeypatch):
    """Products whose rows are bit-equal however many there are; else the last bit chooses between equal tokens."""
    linear = torch.nn.functional.linear

    def alone(x, weight, bias=None):
        rows = [linear(row, weight, bias) for row in x.flatten(0, -2).split(1)]
        return torch.cat(rows).view(*x.shape[:-1], -1)

    monkeypatch.setattr(torch.nn.functional, "linear", alone)


@pytest.fixture
def soon(monkeypatch):
    """Rows narrow at once, down to one; says to how many, call after call."""
    monkeypatch.setattr(narrowing, "PATIENCE", 2)
    monkeypatch.setattr(narrowing, "LEAST", 1)
    taken, use = [], Decoder.use

    def followed(decoder, rows):
        if rows != decoder.cache.used.count:
            taken.append(rows)
        use(decoder, rows)

    monkeypatch.setattr(Decoder, "use", followed)
    return taken


def requests():
    """Two draws of each prompt, seven for four rows; as long as their completions, which nobody forces."""
    return [Request(str(i // 2), i % 2, WORDS[i // 2][: 3 + i // 2 * 5], [0] * n) for i, n in enumerate(LENGTHS)]


def decode(model, policy, narrow, asked=None, **options):
    options = dict(sampler=Greedy(), look=4) | options
    decoder = Decoder(
        model=model, policy=policy, max_tokens=60, longest_prompt=30, batch_size=4, narrow=narrow, **options
    )
    return {(each.sample, each.draw): each for each in decoder.run(requests() if asked is None else asked)}


def assert_the_same(wide, narrow):
    assert wide.keys() == narrow.keys()
    for key, one in wide.items():
        other = narrow[key]
        assert (other.token_ids, other.stop, other.usage) == (one.token_ids, one.stop, one.usage)


@pytest.mark.parametrize("name", POLICIES)
def test_it_changes_nothing(model, soon, name):
    """Not under a sampler that draws and looks back either."""
    policy = POLICIES[name]
    wide, narrow = (decode(model, policy, each, sampler=PENALISED) for each in (False, True))
    assert soon == [2, 1, 4]
    assert_the_same(wide, narrow)
    assert sorted(len(each.token_ids) for each in narrow.values()) == sorted(LENGTHS)
    assert not policy.evicts or max(each.usage.num_evictions for each in narrow.values()) > 5


@pytest.mark.parametrize("name", ["snapkv", "quest"])
def test_packed_columns_and_rings_move_too(model, soon, name):
    assert_the_same(*(decode(model, POLICIES[name], each, storage=INT4) for each in (False, True)))
    assert soon == [2, 1, 4]


@pytest.mark.parametrize("name", ["quest", "adakv"])
def test_layers_grow_while_rows_are_few(model, soon, monkeypatch, name):
    monkeypatch.setattr(cache, "GROWTH", 8)
    grown = []
    monkeypatch.setattr(Decoder, "moved", lambda decoder: grown.append(decoder.cache.used.count))
    wide, narrow = (decode(model, POLICIES[name], each) for each in (False, True))
    assert grown[-1] < 4
    assert_the_same(wide, narrow)


def test_log_probabilities_move_too(model, soon):
    wide, narrow = (decode(model, Full(), each, logprobs=3) for each in (False, True))
    assert soon == [2, 1, 4]
    for key, one in wide.items():
        for mine, its in zip(one.logprobs, narrow[key].logprobs, strict=True):
            assert its == mine


@pytest.mark.parametrize("name", ["snapkv", "random"])
def test_a_trace_goes_on(model, soon, tmp_path, name):
    """What every row saw and kept, round by round."""
    folders = [tmp_path / "wide", tmp_path / "narrow"]
    for folder in folders:
        decode(model, POLICIES[name], folder.name == "narrow", trace=7, output_dir=folder)
    assert soon == [2, 1, 4]
    files = sorted(file.name for file in (folders[0] / "trace").iterdir())
    assert len(files) == 7
    for file in files:
        wide, narrow = (load_file(folder / "trace" / file) for folder in folders)
        assert wide.keys() == narrow.keys()
        for what in wide:
            assert torch.equal(wide[what], narrow[what])


@pytest.mark.parametrize("name", ["vase_attnv", "h2o"])
def test_texts_that_are_forced(model, soon, name):
    texts = [(WORDS[i][: 3 + i], WORDS[i][20 : 20 + n]) for i, n in enumerate(LENGTHS)]
    wide, narrow = (
        fidelity(model, None, texts, POLICIES[name], batch_size=4, engine=partial(Decoder, narrow=each))
        for each in (False, True)
    )
    assert soon == [2, 1, 4] * 2  # dense, and the method
    for one, other in zip(wide, narrow, strict=True):
        assert other == one
    assert max(narrow[3].kl) > 1e-3


def test_a_request_that_comes_late_has_all_rows(model, soon):
    """As at a worker of Ray, whose queue is filled up while it decodes."""
    waiting = requests()[:4]

    class Filled:
        def __iter__(self):
            return self

        def __next__(self):
            if not waiting:
                raise StopIteration
            return waiting.pop(0)

    decoder = Decoder(
        model=model, policy=Full(), sampler=Greedy(), max_tokens=60, longest_prompt=30, batch_size=4, narrow=True
    )
    found, late = {}, requests()[4:]
    for each in decoder.run(Filled()):
        found[each.sample, each.draw] = each
        if soon == [2]:
            waiting += late
            late = []
    assert soon[:2] == [2, 4]
    assert_the_same(decode(model, Full(), False), found)


def test_only_whom_it_is_asked_of(model, soon):
    decode(model, Full(), False)
    assert soon == []


@pytest.mark.parametrize(
    ("rows", "busy", "expected"),
    [
        (128, 128, 128),
        (128, 65, 128),
        (128, 64, 64),
        (128, 33, 64),
        (128, 1, 16),
        (96, 40, 48),
        (33, 17, 17),
        (24, 1, 24),
        (16, 1, 16),
        (1, 1, 1),
    ],
)
def test_the_fewest_halves_that_hold_the_busy_rows(rows, busy, expected):
    assert fitting(rows, busy) == expected


def test_the_sizes_that_there_are():
    assert [sizes(rows) for rows in (128, 100, 31, 1)] == [[64, 32, 16], [50, 25], [16], []]


def test_half_of_the_rows_are_idle_for_a_while_first():
    following = Narrowing(crowded=0)
    busy = [128] * 100 + [64] * 63 + [65] + [60] * 80 + [20] * 100
    taken, rows = [], 128
    for step, each in enumerate(busy):
        rows = following.rows(rows, each, step)
        taken.append(rows)
    assert taken.index(64) == 163 + 64  # step 163 was the last of more than 64
    assert taken.index(32) == 243 + 64
