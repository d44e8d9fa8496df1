import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.quest import Quest
from kvarena.methods.rpc import RPC
from kvarena.methods.snapkv import SnapKV
from kvarena.runners.cache import Clock
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy


def test_score_golden(view_of, kept, budget):
    """Two KV heads, a prompt of two: of the four behind it head 0 attends to .1 .2 .3 .4, head 1 to .7 .1 .1 .1."""
    policy = RPC(budget=budget(6, protect_prompt=True), smooth=1)
    shares = torch.tensor([[9, 9, 0.1, 0.2, 0.3, 0.4, 9], [9, 9, 0.7, 0.1, 0.1, 0.1, 9]])
    view = view_of(policy, shares.log()[None, :, :, None], queries=[[1.0]], prompt=2)
    expected = [0, 0, 0.4, 0.15, 0.2, 0.25, 0]
    assert policy.score(view)[0].tolist() == [pytest.approx(expected), pytest.approx(expected)]
    assert kept(policy, view) == [[[0, 1, 2, 4, 5, 6]] * 2]


def kept_by_release(selectors, keys, prompt: int, part: int, kernel: int):
    """`compress_kv` for selectors [Hq, R, D] and keys [H, n, D] by position: what stays, the prompt's and R newest."""
    heads, window = len(keys), selectors.shape[1]
    groups = len(selectors) // heads
    weights = selectors @ keys.repeat_interleave(groups, 0).mT / keys.shape[-1] ** 0.5
    total = weights[:, :, prompt:-window].softmax(-1).sum(1).mean(0, keepdim=True)
    pooled = torch.nn.functional.avg_pool1d(total[None], kernel, padding=kernel // 2, stride=1)[0, 0]
    inside = pooled.topk(part).indices + prompt
    return sorted([*range(prompt), *inside.tolist(), *range(keys.shape[1] - window, keys.shape[1])])


@pytest.mark.parametrize("prompt", [1, 9])
def test_keeps_what_the_release_keeps(view_of, kept, rng, prompt):
    """Three rounds of a share of a quarter, 16 new tokens before each; slots in another order in each head."""
    policy = RPC(budget=Budget(tokens=40, recent=4, sinks=0, interval=16, protect_prompt=True, share=0.25))
    clock = Clock(policy=policy, num_layers=1, prompt=prompt)
    positions, keys = torch.arange(prompt), torch.randn(2, prompt, 8, generator=rng)
    for round in (1, 2, 3):
        while not clock.due:
            clock.step()
            positions = torch.cat([positions, torch.tensor([clock.position - 1])])
            keys = torch.cat([keys, torch.randn(2, 1, 8, generator=rng)], 1)
        assert (clock.steps, clock.resident[0]) == (4 + 16 * round, len(positions))
        queries = torch.randn(2, 3, 4, 8, generator=rng)  # six query heads of two KV heads
        order = torch.stack([torch.randperm(len(positions), generator=rng) for _ in range(2)])
        view = view_of(
            policy,
            keys.gather(1, order[..., None].expand(-1, -1, 8))[None],
            queries=queries[None],
            positions=positions[order][None],
            prompt=prompt,
            excess=clock.excess(0),
        )
        stay = kept_by_release(queries.flatten(0, 1).double(), keys.double(), prompt, 4 * round, 7)
        expected = positions[stay].tolist()
        assert kept(policy, view) == [[expected, expected]]
        keys, positions = keys[:, stay], positions[stay]
        clock.evicted()
        assert clock.resident == [len(positions)] == [prompt + 4 * round + 4]


def test_of_one_head_and_without_a_prompt_it_is_snapkv(view_of, budget, rng):
    keys, queries = torch.randn(1, 1, 30, 8, generator=rng), torch.randn(1, 1, 2, 4, 8, generator=rng)
    one, other = (of(budget=budget(20, recent=4), smooth=7) for of in (RPC, SnapKV))
    scores = [policy.score(view_of(policy, keys, queries=queries)) for policy in (one, other)]
    torch.testing.assert_close(*scores)


def test_the_cache_grows_with_the_share(model):
    """A prompt of 10 and 4 recent tokens beside a quarter of the 16, 32 and 48 others; 63 steps, of which 15 follow."""
    budget = Budget(tokens=20, recent=4, sinks=0, interval=16, protect_prompt=True, share=0.25)
    options = dict(sampler=Greedy(), max_tokens=64, longest_prompt=10, batch_size=2)
    policy = RPC(budget=budget)
    decoder = Decoder(model=model, policy=policy, **options)
    done = list(decoder.run([Request(name, 0, list(range(10))) for name in "ab"]))
    assert [generation.usage.eviction_steps for generation in done] == [[21, 37, 53]] * 2
    # at the fourth multiple, step 68, it would be 16 more than 26; the last token is never appended
    assert [generation.usage.peak_slots for generation in done] == [34 + 4] * 2
    assert done[0].token_ids == done[1].token_ids
    assert policy.capacity(0, 3, 10) is None


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda budget: Pyramid(budget=budget, of=RPC(budget=budget)), "budget.share=0.5: a pyramid is of a number"),
        (lambda budget: Quest(budget=budget, page=4), "budget.share=0.5: a selection reads a number of tokens"),
    ],
)
def test_what_has_a_number_of_slots_takes_no_share(build, line):
    with pytest.raises(ValueError, match=line):
        build(Budget(tokens=40, recent=4, share=0.5))
