import pytest
from kvarena.analysis.load import load
from kvarena.analysis.rounds import evictions, loop_onsets

BUDGET = {"tokens": 24, "interval": 8, "prefill": False}


@pytest.mark.parametrize(
    ("prompt", "tokens", "rounds", "first"),
    [(20, 60, 6, 13), (24, 60, 7, 9), (23, 60, 7, 10), (30, 60, 8, 3), (100, 60, 7, 5), (96, 60, 7, 9)],
)
def test_they_add_up_with_what_the_decoder_does(record, prompt, tokens, rounds, first):
    row = record(prompt_tokens=prompt, num_tokens=tokens, num_evictions=rounds)
    assert evictions(row, BUDGET) == list(range(first, first + 8 * rounds, 8))


def test_after_the_prompt(record):
    row = record(prompt_tokens=100, num_tokens=30, num_evictions=4)
    assert evictions(row, BUDGET | {"prefill": True}) == [1, 9, 17, 25]


def test_what_does_not_add_up_is_not_told(record):
    assert evictions(record(prompt_tokens=20, num_tokens=60, num_evictions=5), BUDGET) == []
    assert evictions(record(num_evictions=0), BUDGET) == []
    assert evictions(record(), {}) == []


def test_a_record_that_names_them_is_believed(record):
    assert evictions(record(num_evictions=2, eviction_steps=[5, 40]), BUDGET) == [5, 40]
    assert evictions(record(num_evictions=0, eviction_steps=[]), BUDGET) == []


def test_evictions_before_a_loop(write, tmp_path, record, config):
    looped = record(prompt_tokens=20, num_tokens=60, num_evictions=6, loop_onset=30, loop_period=2)
    write("a", [looped, record(sample="b")], samples=2, config=config(24, interval=8))
    (point,) = loop_onsets(load(tmp_path))
    assert (point["evictions"], point["onset"]) == (3, 30)  # after tokens 12, 20 and 28
