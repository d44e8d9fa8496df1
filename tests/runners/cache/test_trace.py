"""A trace holds what the method saw and what it kept, round by round."""

import torch
from kvarena.methods.budget import Budget
from kvarena.methods.snapkv import SnapKV
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy
from safetensors.torch import load_file

BUDGET = Budget(tokens=24, recent=8, sinks=0, interval=8)


def test_kept_positions_of_every_round_and_the_cache_of_some(model, tmp_path):
    decoder = Decoder(
        model=model,
        policy=SnapKV(budget=BUDGET),
        sampler=Greedy(),
        max_tokens=60,
        longest_prompt=20,
        batch_size=2,
        trace=1,
        output_dir=tmp_path,
    )
    done = {g.sample: g for g in decoder.run([Request(name, 0, list(range(2, 22))) for name in "ab"])}
    assert [path.name for path in (tmp_path / "trace").iterdir()] == ["a-0.safetensors"]
    trace = load_file(tmp_path / "trace/a-0.safetensors")
    rounds = done["a"].usage.num_evictions
    assert rounds == 6  # 20 + 12 reaches 24 + 8 first; of 59 steps the last that evicts is 12 + 5 * 8
    kept = {name for name in trace if name.endswith("kept")}
    assert kept == {f"{round}/{layer}/kept" for round in range(rounds) for layer in range(3)}
    assert {name.split("/")[0] for name in trace if name.endswith("keys")} == {"0", "1", "3"}
    for layer in range(3):
        seen = trace[f"1/{layer}/positions"]
        assert seen.shape == (2, 32)
        assert trace[f"1/{layer}/keys"].shape == (2, 32, 16)
        assert trace[f"1/{layer}/queries"].shape == (2, 2, 8, 16)
        for head in range(2):
            kept = trace[f"1/{layer}/kept"][head].tolist()
            assert kept == sorted(kept)
            assert set(kept) < set(seen[head].tolist())
            assert kept[-8:] == list(range(32, 40))  # 20 of the prompt and 20 steps


def test_nothing_is_written_unless_asked(model, tmp_path):
    decoder = Decoder(
        model=model, policy=SnapKV(budget=BUDGET), sampler=Greedy(), max_tokens=30, longest_prompt=5, batch_size=1
    )
    list(decoder.run([Request("a", 0, [1, 2, 3])]))
    assert not (tmp_path / "trace").exists()
    assert torch.is_inference_mode_enabled() is False
