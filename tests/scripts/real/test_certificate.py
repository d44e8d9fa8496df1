"""What is compared with the whole cache, and the command on chains of the stand-in."""

import csv
import json
from pathlib import Path

import pytest
import torch
from kvarena.contract.policies import policy_of
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.methods.full import Full
from kvarena.runners.generate import Request

CHAINS = [
    Request(name, 0, tokens[:10], tokens[10:50])
    for name, tokens in zip(
        "ab", torch.randint(1, 60, (2, 50), generator=torch.Generator().manual_seed(0)).tolist(), strict=True
    )
]


@pytest.fixture(autouse=True)
def real(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/real"))


def missed(policy):
    from certificate import says_the_texts
    from dense_texts import Work
    from whole_cache import WholeCache

    work = Work(build_tiny_model("llama").float(), CHAINS)
    decoder = says_the_texts(work, policy, seed=0)
    seen = WholeCache(decoder)
    done = list(decoder.run(CHAINS))
    return seen.found, done


def test_dense_misses_nothing_at_any_step():
    found, _ = missed(Full())
    assert len(found) == 2 * 39 * 3  # rows, steps, layers
    assert max(each.error for each in found) < 1e-5
    assert {each.estimate for each in found} == {0}


def test_a_method_misses_something_from_its_first_round_on():
    found, done = missed(policy_of("certificate"))
    (first,) = {10 + each.usage.eviction_steps[0] - 1 for each in done}
    assert max(each.error for each in found if each.position < first) < 1e-5
    assert min(each.error for each in found if each.position >= first) > 1e-4
    stated = {(each.sample, place): error for each in done for place, error in enumerate(each.usage.attention_error)}
    for row, name in enumerate("ab"):
        step = [each.estimate for each in found if (each.row, each.position) == (row, 40)]
        assert sum(step) / 3 == pytest.approx(stated[name, 40 - 10 + 1], abs=1e-5)


def test_errors_by_hand():
    """Two tokens of a half each, values 1 and 3, output 2; the first stands for both: output and sum are 1."""
    from whole_cache import errors_of

    share, values, counts = torch.tensor([0.5, 0.5]), torch.tensor([[1.0], [3]]), torch.tensor([2.0, 0])
    found = errors_of(share.view(1, 1, 1, 2), values.view(1, 1, 2, 1), counts.view(1, 1, 2), torch.ones(1, 1, 1, 1))
    # nothing but the first is left, so it lies at the output: the linear form says nothing
    assert [part.item() for part in found] == pytest.approx([1, 0, 1 / 2, 0.5**0.5 / 2])


def test_the_command(standin, tmp_path):
    from certificate import main

    chains = tmp_path / "chains.jsonl"
    lines = [{"id": text.sample, "prompt_ids": text.prompt, "completion_ids": text.completion} for text in CHAINS]
    chains.write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = tmp_path / "out/certificate.csv"
    main(
        [
            str(standin),
            str(chains),
            str(output),
            "--methods",
            "random",
            "--ratios",
            "2",
            "--window",
            "8",
            "--device",
            "cpu",
        ]
    )
    (row,) = csv.DictReader(output.open())
    assert (row["method"], float(row["ratio"]), float(row["texts"])) == ("random", 2, 2)
    assert 0 < float(row["covered_low"]) <= float(row["covered"]) <= float(row["covered_high"]) <= 1
    assert float(row["mean_square"]) < float(row["mean_square_linear"])
    assert float(row["error"]) > 0
