import math
from dataclasses import fields, replace

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.as_press import as_press
from kvarena.methods.budget import Budget
from kvarena.methods.policy import LayerView
from kvarena.methods.rocketkv import RocketKV


@pytest.fixture
def rocketkv(budget):
    """rocketkv(reads, kept): reads of so many that a round leaves."""
    return lambda reads, kept=None, **changes: RocketKV(budget=budget(kept or reads), reads=reads, **changes)


@pytest.mark.parametrize(
    ("reads", "length", "kept", "page", "channels", "read"),
    [
        (236, 472, 394, 1, 38, 118),  # 2^.26 = 1.197; c' = 1.67
        (118, 472, 302, 2, 50, 58),  # 4^.32 = 1.558; c' = 2.56, 29 pages of 2
        (256, 8192, 1448, 3, 34, 126),  # 32^.5 = 5.657; c' = 5.66
        (512, 131072, 3019, 3, 33, 255),  # 256^.68 = 43.4; c' = 5.90
        (64, 262144, 337, 3, 36, 30),  # alpha is .8, not .92: 4096^.8 = 776; c' = 5.27
        (600, 472, 600, 1, 64, 300),  # a sequence below the budget
    ],
)
def test_what_a_round_leaves_lies_between_length_and_budget(budget, reads, length, kept, page, channels, read):
    policy = RocketKV(budget=budget(reads), reads=reads, length=length)
    assert (policy.budget.tokens, policy.page, policy.channels(64)) == (kept, page, channels)
    assert policy.tokens_read(0, 8) == read
    assert policy.needs.page == (page if page > 1 else 0)


def test_neighbours_share_the_greatest_attention(rocketkv, view_of, kept):
    """Weights 1, 10, 2, 3, 8, 6 and a window of 30, of 60: with its neighbours 10, 10, 10, 8, 8, 8."""
    policy = rocketkv(4, smooth=3)
    view = view_of(policy, [[math.log(weight)] for weight in (1, 10, 2, 3, 8, 6, 30)], queries=[[1.0]])
    expected = [10, 10, 10, 8, 8, 8, 0]
    assert policy.score(view).flatten().tolist() == pytest.approx([share / 60 for share in expected])
    assert kept(policy, view) == [[[0, 1, 2, 6]]]


def test_pages_are_ranked_in_the_largest_channels_alone(rocketkv, view_of):
    """Of 12 slots a round leaves, 4 is the budget: c' = 3, pages of 2, 3 of 4 channels."""
    policy = rocketkv(4, 12)
    assert (policy.page, policy.channels(4), policy.tokens_read(0, 1)) == (2, 3, 2)
    query = [[[[4.0, -3.0, 2.0, 1.0]]]]
    keys = torch.zeros(8, 4)
    keys[0] = torch.tensor([1.0, 0, 0, 0])  # page 0 promises 4
    keys[3] = torch.tensor([0, -1.5, 0, 0])  # page 1 promises 4.5
    keys[6] = torch.tensor([0, 0, 0, 100.0])  # page 3 promises 100, in the channel that is left out
    assert policy.read(torch.tensor(query), view_of(policy, keys)).flatten().tolist() == [1, -1]


def test_a_group_takes_one_bound_a_channel_and_sums_its_shares(rocketkv, view_of):
    """Queries 3 and -1 sum above 0, so both take the greatest keys, 0, 1, 2 and 2: of two slots each, half a share."""
    policy = rocketkv(2, 8)
    assert policy.page == 2
    assert policy.channels(1) == 1
    keys = [[0.0], [-9], [1], [-9], [2], [0], [1.5], [2]]
    view = view_of(policy, keys)
    shares = policy.shares(torch.tensor([[[[3.0], [-1.0]]]]), view)[0, 0]
    first, second = (torch.tensor([0.0, 3, 6, 6]).softmax(0), torch.tensor([0.0, -1, -2, -2]).softmax(0))
    torch.testing.assert_close(shares, (first + second) / 2)
    assert policy.read(torch.tensor([[[[3.0], [-1.0]]]]), view).flatten().tolist() == [0]


def test_a_row_of_no_more_than_the_budget_reads_all(rocketkv, view_of):
    policy = rocketkv(6, 18)
    keys, query = torch.arange(8.0)[:, None], torch.ones(1, 1, 1, 1)
    assert policy.page == 2
    assert policy.read(query, view_of(policy, keys[:5])).flatten().tolist() == [0, 1, 2]
    assert policy.read(query, view_of(policy, keys[:6])).flatten().tolist() == [0, 1, 2]
    assert policy.read(query, view_of(policy, keys[:7])).flatten().tolist() == [3, -1, -1]


def tokens_by_release(query, keys, page, channels, count):
    """Of query heads [G, D] and keys [n, D]: the tokens that NVlabs/RocketKV reads at a step."""
    size = query.abs()
    used = size.sum(0).topk(channels).indices
    least, most = (torch.stack([fold(part, 0) for part in keys.split(page)]) for fold in (torch.amin, torch.amax))
    bound = torch.where(query[:, used].sum(0) > 0, most[:, used], least[:, used])
    logits = (query[:, used] @ bound.T).repeat_interleave(page, -1)[:, : len(keys)]
    heat = (query.shape[1] * size[:, used].sum(-1, keepdim=True) / size.sum(-1, keepdim=True)).sqrt()
    return set((logits / heat).softmax(-1).sum(0).topk(count).indices.tolist())


@pytest.mark.parametrize(("reads", "kept"), [(12, 20), (12, 30), (12, 66)], ids=["slots", "pages_of_2", "pages_of_3"])
def test_reads_what_the_release_reads(rocketkv, view_of, rng, reads, kept):
    """Three query heads a KV head; the last page is partial."""
    policy = rocketkv(reads, kept)
    query, keys = torch.randn(2, 2, 3, 16, generator=rng), torch.randn(2, 2, 41, 16, generator=rng)
    read = policy.read(query, view_of(policy, keys, excess=0))
    for row in range(2):
        for head in range(2):
            one = query[row, head].double(), keys[row, head].double()
            theirs = tokens_by_release(*one, policy.page, policy.channels(16), policy.tokens_read(0, 1))
            first = [policy.page * page for page in read[row, head].tolist() if page >= 0]
            ours = {slot for start in first for slot in range(start, min(41, start + policy.page))}
            # of a last page that is not whole they take what is left from the next
            assert ours <= theirs
            assert len(theirs) - len(ours) < policy.page


def test_a_step_asks_nothing_of_the_device(rocketkv, view_of):
    """On tensors without data a question to the host, or a shape that depends on values, is an error."""
    policy = rocketkv(4, 12)
    view = view_of(policy, torch.zeros(20, 8))
    parts = {field.name: getattr(view, field.name) for field in fields(LayerView)}
    meta = replace(view, **{name: part.to("meta") for name, part in parts.items() if isinstance(part, torch.Tensor)})
    assert policy.read(torch.zeros(1, 1, 2, 8, device="meta"), meta).shape == (1, 1, 2)


def kept_by_release(selectors, keys, width, count):
    """Of window queries [G, W, D] and keys [n, D]: what a prompt's cache keeps."""
    window = selectors.shape[1]
    ahead = torch.arange(len(keys)) > torch.arange(len(keys) - window, len(keys))[:, None]
    logits = selectors @ keys.T / keys.shape[-1] ** 0.5
    total = logits.masked_fill(ahead, -torch.inf).softmax(-1).sum((0, 1))[:-window]
    pooled = torch.nn.functional.max_pool1d(total[None, None], width, stride=1, padding=width // 2)[0, 0]
    return pooled, pooled.topk(count - window).values.min()


def test_keeps_what_the_release_keeps(view_of, kept, rng):
    """Among equals, whose neighbour the greatest is, a top-k may take any."""
    policy = RocketKV(budget=Budget(tokens=24, recent=4, sinks=0), reads=12, smooth=5)
    keys, queries = torch.randn(1, 1, 40, 8, generator=rng), torch.randn(1, 1, 3, 4, 8, generator=rng)
    pooled, least = kept_by_release(queries[0, 0].double(), keys[0, 0].double(), 5, 24)
    ours = kept(policy, view_of(policy, keys, queries=queries))[0][0]
    assert len(ours) == 24
    assert set((pooled > least + 1e-9).nonzero().flatten().tolist()) < set(ours)
    assert all(pooled[position] > least - 1e-6 for position in ours[:-4])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"smooth": 4}, "method.smooth=4: use an odd width"),
        ({"reads": 30}, "method.reads=30 is above the 20 tokens that a round leaves"),
        ({"budget": Budget(tokens=20, recent=1, sinks=0, share=0.5)}, "use compression.tokens"),
    ],
)
def test_what_cannot_work_is_refused(budget, changes, line):
    with pytest.raises(ValueError, match=line):
        RocketKV(**({"budget": budget(20), "reads": 10} | changes))


def test_what_would_only_evict_is_refused(rocketkv, budget):
    """Around it, or in kvpress, nobody would ask what is read."""
    policy = rocketkv(10)
    with pytest.raises(ValueError, match=r"method.of=RocketKV chooses what is read too"):
        AdaKV(budget=budget(20), of=policy)
    with pytest.raises(ValueError, match="RocketKV chooses what is read too"):
        as_press(policy)
