import pytest
import torch
from kvarena.kernels.pages import bounds
from kvarena.methods.budget import Budget
from kvarena.methods.evict_large import EvictLarge
from kvarena.methods.full import Full
from kvarena.methods.gkv import GKV
from kvarena.methods.h2o import H2O
from kvarena.methods.lazy_eviction import LazyEviction
from kvarena.methods.quest import Quest
from kvarena.methods.rocketkv import RocketKV
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM

SMALL = Budget(tokens=10, recent=3, sinks=2, interval=4)


def test_rows_of_any_length_attend_to_all_they_have(feed):
    """Both rows cross a block of the attention, one long before the other; row 1 is idle."""
    rows = feed(Full(), batch_size=3, longest=90)
    rows.admit(0, 12)
    rows.admit(2, 1)
    for _ in range(70):
        rows.run(1)
        for row in (0, 2):
            torch.testing.assert_close(rows.outputs[row], rows.dense(row), rtol=1e-4, atol=1e-5)
    assert rows.cache.layers[0].lengths.tolist() == [[82, 82], [0, 0], [71, 71]]


def test_eviction_keeps_what_the_policy_keeps(feed):
    rows = feed(StreamingLLM(budget=SMALL))
    rows.admit(0, 8)
    rows.admit(1, 3)
    rows.run(6)  # row 0 holds 14 and evicts; row 1 holds 9
    for layer in (0, 1):
        for head in (0, 1):
            assert rows.positions(layer, 0, head) == [0, 1, 6, 7, 8, 9, 10, 11, 12, 13]
            assert rows.positions(layer, 1, head) == list(range(9))
    rows.run(4)
    assert rows.positions(0, 0, 0) == [0, 1, 10, 11, 12, 13, 14, 15, 16, 17]
    assert [clock.round for clock in rows.cache.clocks] == [2, 0]


def test_every_column_of_a_survivor_is_a_copy_of_what_came(feed):
    """EvictLarge drops by the constants of a token, H2O by the mass column: both must move with their slot."""
    rows = feed(EvictLarge(budget=SMALL))
    rows.admit(0, 12)
    rows.run(14)
    assert rows.cache.clocks[0].round == 4
    _, keys, values = rows.tape[0]
    for i, layer in enumerate(rows.cache.layers):
        for head in (0, 1):
            positions = layer.positions[0, head, : layer.lengths[0, head]].long()
            assert positions.unique().numel() == len(positions) == 10
            assert torch.equal(layer.keys[0, head, : len(positions)], keys[i, head, positions])
            assert torch.equal(layer.values[0, head, : len(positions)], values[i, head, positions])
            ranges = values[i, head].amax(-1) - values[i, head].amin(-1)
            view = rows.cache.view(i, rows.cache.facts([0]))
            assert torch.equal(view.constants[0, head, : len(positions), 0], ranges[positions])


def test_bounds_are_those_of_what_rounds_leave(feed):
    """17 steps with rounds of both rows at steps of their own; the last page is extended after each."""
    policy = RocketKV(budget=Budget(tokens=15, recent=3, sinks=0, interval=4), reads=5, smooth=3)
    assert policy.page == 2
    rows = feed(policy)
    rows.admit(0, 12)
    rows.admit(1, 5)
    rows.run(17)
    assert [clock.round for clock in rows.cache.clocks] == [3, 1]
    for layer in rows.cache.layers:
        for row in (0, 1):
            for head in (0, 1):
                length = layer.lengths[row, head]
                expected = bounds(layer.keys[row : row + 1, head : head + 1, :length], 2)
                for bound, ours in zip((layer.page_min, layer.page_max), expected, strict=True):
                    assert torch.equal(bound[row, head, : ours.shape[2]], ours[0, 0])


def test_view_marks_candidates_and_what_may_go(feed):
    rows = feed(StreamingLLM(budget=Budget(tokens=10, recent=3, sinks=2, interval=4, protect_prompt=True)))
    rows.admit(0, 4)
    rows.admit(1, 12)
    rows.run(10)  # row 0 holds 14 and has just dropped 4; row 1 holds 14, of 22
    view = rows.cache.view(1, rows.cache.facts([1, 0]))
    assert view.layer == 1
    assert view.round.tolist() == [3, 1]
    assert view.excess.tolist() == [0, 0]
    assert view.live.sum(-1).tolist() == [[10, 10], [10, 10]]
    assert (view.positions[~view.live] == -1).all()

    def positions(mask, row):
        return sorted(view.positions[row, 0][mask[row, 0]].tolist())

    assert positions(view.candidates, 1) == [0, 1, 2, 3, 8, 9, 10]
    assert positions(view.evictable, 1) == [8, 9, 10]  # the prompt's four stay
    assert positions(view.candidates, 0) == [0, 1, 2, 3, 4, 5, 18]
    assert positions(view.evictable, 0) == [18]  # of the prompt's twelve 10 - 3 - 1 stay


def test_excess_counts_the_slots_above_the_budget(feed):
    rows = feed(StreamingLLM(budget=SMALL))
    rows.admit(0, 12)
    rows.admit(1, 9)
    rows.step()
    assert rows.cache.due() == []
    rows.step()
    assert rows.cache.due() == [0]
    assert rows.cache.view(0, rows.cache.facts()).excess.tolist() == [4, 1]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7, 11])
@pytest.mark.parametrize("prompt", [1, 3, 4, 9])
def test_ring_of_queries_is_oldest_first(feed, prompt, steps):
    rows = feed(SnapKV(budget=Budget(tokens=50, recent=4, sinks=0)))
    rows.admit(0, prompt)
    for _ in range(steps):
        rows.step()
    newest = rows.tape[0][0][1].unflatten(0, (2, 2))[:, :, -4:]  # fewer, if fewer came
    assert torch.equal(rows.cache.view(1, rows.cache.facts([0])).queries[0, :, :, 4 - newest.shape[2] :], newest)


def test_mass_of_live_slots_is_the_number_of_queries_until_the_first_eviction(feed):
    rows = feed(H2O(budget=Budget(tokens=40, recent=4, sinks=0)))
    rows.admit(0, 7)
    rows.admit(1, 1)
    for step in range(1, 9):
        rows.step()
        mass = rows.cache.view(0, rows.cache.facts()).mass
        torch.testing.assert_close(mass.sum(-1), torch.tensor([[7.0 + step] * 2, [1.0 + step] * 2]))


def test_mass_is_summed_over_the_steps_and_moves_with_the_slot(feed, scale):
    """Against the history of a cache of positions, probabilities of the slots that were there at the time."""
    rows = feed(H2O(budget=Budget(tokens=10, recent=3, sinks=0, interval=4)), batch_size=1)
    rows.admit(0, 9)
    queries, keys, _ = rows.tape[0]
    expected = torch.zeros(2, 30)
    alive = [set(range(9)), set(range(9))]

    def add(query, head, present):
        present = sorted(present)
        for group in (0, 1):
            logits = keys[0, head, present] @ queries[0, 2 * head + group, query] * scale
            expected[head, present] += logits.softmax(0) / 2

    for query in range(9):
        for head in (0, 1):
            add(query, head, range(query + 1))
    for step in range(13):
        rows.step()
        queries, keys, _ = rows.tape[0]
        for head in (0, 1):
            alive[head].add(9 + step)
            add(9 + step, head, alive[head])
        if rows.cache.due():
            rows.evict([0])
            for head in (0, 1):
                old = sorted(alive[head])[:-3]
                alive[head] -= set(sorted(old, key=lambda position: expected[head, position])[:4])
        for head in (0, 1):
            assert rows.positions(0, 0, head) == sorted(alive[head])
            view = rows.cache.view(0, rows.cache.facts())
            live = view.live[0, head]
            at = view.positions[0, head][live].long()
            torch.testing.assert_close(view.mass[0, head][live], expected[head, at], rtol=1e-4, atol=1e-5)
    assert rows.cache.clocks[0].round == 3


def test_uses_of_a_slot_are_recorded_and_move_with_it(feed, scale):
    """Against a history by position: when it was used last, and the longest gap; by either query head of its group."""
    rows = feed(LazyEviction(budget=Budget(tokens=10, recent=3, sinks=0, interval=4), used=0.1), batch_size=1)
    rows.admit(0, 9)
    last, longest = {position: 8 for position in range(9)}, {}
    for step in range(13):
        rows.step()
        queries, keys, _ = rows.tape[0]
        newest = 9 + step
        last[newest] = newest - 1
        there = [position for position in rows.positions(0, 0, 0) if position < newest] + [newest]
        logits = queries[0, :2, -1] @ keys[0, 0, there].mT * scale
        for position, share in zip(there, logits.softmax(-1).amax(0).tolist(), strict=True):
            if share >= 0.1:
                longest[position] = max(longest.get(position, 0), newest - last[position])
                last[position] = newest
        if rows.cache.due():
            rows.evict([0])
        view = rows.cache.view(0, rows.cache.facts())
        live = view.live[0, 0]
        held = view.positions[0, 0][live].tolist()
        assert view.last_used[0, 0][live].tolist() == [last[position] for position in held]
        assert view.longest_gap[0, 0][live].tolist() == [longest.get(position, 0) for position in held]
    assert rows.cache.clocks[0].round == 3
    assert len(set(longest.values())) > 2


def test_page_bounds_of_a_refilled_row_are_its_own(feed):
    rows = feed(Quest(budget=Budget(tokens=16, recent=1), page=4), longest=40)
    rows.admit(0, 12)
    rows.admit(1, 2)
    rows.run(15)
    rows.cache.release(0)
    rows.run(2)  # idle for two steps
    rows.admit(0, 5)
    rows.run(6)
    for row, pages in ((0, 3), (1, 7)):
        view, keys = rows.cache.view(1, rows.cache.facts([row])), rows.tape[row][1][1]
        parts = keys.split(4, 1)
        assert len(parts) in (pages, pages - 1)
        assert torch.equal(view.page_min[0, :, : len(parts)], torch.stack([part.amin(1) for part in parts], 1))
        assert torch.equal(view.page_max[0, :, : len(parts)], torch.stack([part.amax(1) for part in parts], 1))


@pytest.mark.parametrize("policy", [H2O, SnapKV, EvictLarge], ids=lambda policy: policy.__name__)
def test_a_refilled_row_is_as_new(feed, policy):
    def fresh_view(rows):
        rows.rng.manual_seed(7)
        rows.admit(0, 6)
        rows.run(9)
        return rows.cache.view(0, rows.cache.facts([0]))

    used = feed(policy(budget=SMALL))
    used.admit(0, 12)
    used.admit(1, 3)
    used.run(9)
    used.cache.release(0)
    used.run(3)
    one, other = fresh_view(used), fresh_view(feed(policy(budget=SMALL)))
    assert one.positions.tolist() == other.positions.tolist()
    assert one.round.tolist() == other.round.tolist() == [1]
    for name in ("keys", "values", "mass", "constants"):
        one_column, other_column = getattr(one, name), getattr(other, name)
        if one_column.numel():
            assert torch.equal(one_column[one.live], other_column[other.live]), name
    assert torch.equal(one.queries, other.queries)


def test_what_a_broken_row_leaves_does_not_reach_the_next(feed):
    """A model that overflowed has left NaN in the row's slots."""
    rows = feed(H2O(budget=Budget(tokens=40, recent=4, sinks=0)))
    rows.admit(0, 12)
    for layer in rows.cache.layers:
        for column in (layer.keys, layer.values, layer.mass):
            column[0, :, :12] = torch.nan
    rows.cache.release(0)
    rows.admit(0, 2)
    rows.run(3)
    torch.testing.assert_close(rows.outputs[0], rows.dense(0), rtol=1e-4, atol=1e-5)
    view = rows.cache.view(0, rows.cache.facts([0]))
    torch.testing.assert_close(view.mass[view.live].sum(), torch.tensor(2 * 5.0))


def test_idle_rows_hold_nothing(feed):
    rows = feed(H2O(budget=SMALL))
    rows.admit(1, 3)
    rows.run(12)
    assert rows.cache.clocks[0] is None
    assert rows.cache.layers[0].lengths.tolist() == [[0, 0], [11, 11]]
    assert rows.cache.positions.tolist() == [0, 15]


@pytest.mark.parametrize(
    ("policy", "longest", "capacity"),
    [
        (Full(), 60, 60),
        (StreamingLLM(budget=SMALL), 60, 12 + 4),
        (StreamingLLM(budget=SMALL), 14, 14),
        (StreamingLLM(budget=Budget(tokens=20, recent=3, interval=4)), 60, 20 + 4),
        (Quest(budget=Budget(tokens=16, recent=1), page=4), 60, 60),
    ],
    ids=["full", "prompt_above_budget", "never_more_than_the_sequence", "budget_above_prompt", "selection"],
)
def test_capacity(feed, policy, longest, capacity):
    assert feed(policy, longest=longest).cache.capacity(0) == capacity


def test_usage_of_an_eviction(feed):
    """Prompt 8, 9 steps: 9 to 14 slots, then 11, 12, 13; a slot of two layers and heads is keys, values, position."""
    rows = feed(StreamingLLM(budget=SMALL))
    rows.admit(0, 8)
    rows.run(9)
    usage = rows.cache.release(0)
    assert (usage.num_evictions, usage.peak_slots) == (1, 14)
    assert usage.mean_slots == usage.tokens_read == pytest.approx((9 + 10 + 11 + 12 + 13 + 14 + 11 + 12 + 13) / 9)
    assert usage.resident_bytes == 14 * 2 * 2 * (8 * 4 + 8 * 4 + 4)


def test_usage_of_a_selection(feed):
    """Prompt 7, 4 steps, pages of 4, two of them read by layer 1; layer 0 is dense.

    Layer 0 reads 8, 9, 10, 11; layer 1 reads both pages of 8, then one whole page and a last one of 1, 2, 3. Held are
    the bounds of the three pages that 11 slots are, however many there is room for.
    """
    rows = feed(Quest(budget=Budget(tokens=8, recent=1), page=4, dense_layers=1))
    rows.admit(0, 7)
    rows.run(4)
    usage = rows.cache.release(0)
    assert (usage.num_evictions, usage.peak_slots, usage.mean_slots) == (0, 11, 9.5)
    assert usage.tokens_read == pytest.approx((8 + 9 + 10 + 11 + 8 + 5 + 6 + 7) / 8)
    assert usage.resident_bytes == 2 * 2 * (11 * (8 * 4 + 8 * 4 + 4) + 3 * 2 * 8 * 4)


def test_selection_reads_the_pages_it_chose(feed, scale):
    """The output is attention over the pages that the policy names, and nothing else."""
    policy = Quest(budget=Budget(tokens=8, recent=1), page=4, dense_layers=0)
    rows = feed(policy)
    rows.admit(0, 11)
    rows.run(4)
    queries, keys, values = rows.tape[0]
    view = rows.cache.view(1, rows.cache.facts([0]))
    chosen = policy.read(queries[None, 1, :, -1].view(1, 2, 2, 8), view)[0]
    for head in range(4):
        slots = [s for page in chosen[head // 2].tolist() for s in range(4 * page, min(4 * page + 4, 15))]
        weights = (keys[1, head // 2, slots] @ queries[1, head, -1] * scale).softmax(0)
        torch.testing.assert_close(
            rows.outputs[0][1, head], weights @ values[1, head // 2, slots], rtol=1e-4, atol=1e-5
        )


def test_what_a_round_says_of_a_slot_stays_with_it(feed):
    """Recent slots, slots since the round, and those that are not live hold nothing; the others the round's score."""
    policy = GKV(budget=Budget(tokens=10, recent=3, sinks=0, interval=4), window=3)
    rows = feed(policy)
    rows.admit(0, 8)
    rows.admit(1, 3)
    said = {}
    for _ in range(18):
        rows.step()
        if due := rows.cache.due():
            view = rows.cache.view(1, rows.cache.facts(due))
            for at, row in enumerate(due):
                says = zip(view.positions[at, 0].tolist(), policy.remember(view)[at, 0].tolist(), strict=True)
                said[row] = {position: score for position, score in says if position >= 0}
            rows.evict(due)
        layer = rows.cache.layers[1]
        for row in (0, 1):
            length = layer.lengths[row, 0]
            positions, scores = layer.positions[row, 0, :length].tolist(), layer.remembered[row, 0]
            assert scores[:length].tolist() == [said.get(row, {}).get(position, -1) for position in positions]
            assert (scores[length:] == -1).all()
    assert [clock.round for clock in rows.cache.clocks] == [4, 2]
    assert min(sum(score >= 0 for score in scores.values()) for scores in said.values()) == 11


def test_a_round_leaves_each_layer_its_own_slots(feed):
    rows = feed(StreamingLLM(budget=Budget(tokens=[22, 14], recent=4, interval=4)))
    rows.admit(0, 12)
    rows.run(10)  # by their mean of 18 a row is due at 22
    assert [len(rows.positions(layer, 0, head)) for layer in range(2) for head in range(2)] == [22, 22, 14, 14]
    assert torch.allclose(rows.outputs[0], rows.dense(0), atol=1e-5)  # the round comes after the step


def test_a_row_that_grows_no_more_keeps_what_it_has(feed):
    """The host, which looks later, has launched a round for it; the row beside it drops."""
    rows = feed(StreamingLLM(budget=Budget(tokens=8, recent=2, sinks=1, interval=4)), batch_size=2)
    for row in (0, 1):
        rows.admit(row, 12)
    rows.cache.active[0] = 0
    rows.cache.drop([0, 1])
    assert [layer.lengths.tolist() for layer in rows.cache.layers] == [[[12, 12], [8, 8]]] * len(rows.cache.layers)
