"""What happens where memory runs out: at set-up a number of rows that fits, in a run half as many rows."""

import gc
import re
import sys
from pathlib import Path

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.snapkv import SnapKV
from kvarena.runners.cache import Shape, cache, memory
from kvarena.runners.evaluate import main
from kvarena.runners.record import RunFolder

CPU = torch.device("cpu")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
SMALL = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cpu", "max_tokens=16"]
REFUSING = ["engine._target_=fragile.Small", "sampler._target_=fragile.Fragile"]


@pytest.fixture(scope="module")
def whole(launch, tmp_path_factory):
    """Of 24 rows in a batch of 8 that fits."""
    folder = tmp_path_factory.mktemp("whole")
    assert launch(folder, *SMALL, "num_samples=24", "engine.batch_size=8", "output_dir=run").wait() == 0
    return outcome(folder / "run")


def outcome(folder: Path) -> dict:
    timed = {"prefill_s": 0, "decode_s": 0}
    return {record.key: vars(record) | timed for record in RunFolder(path=folder).records()}


def halvings(folder: Path) -> list[tuple[int, int, int, int]]:
    found = RunFolder(path=folder).run()["halvings"]
    return [(one["records"], one["worker"], one["from"], one["to"]) for one in found]


@pytest.mark.parametrize(
    ("refused", "expected"),
    [("[]", [(16, 0, 8, 4), (16, 0, 4, 2)]), ("[4]", [(16, 0, 8, 2)])],
    ids=["twice", "not_even_set_up"],
)
def test_a_batch_that_grows_too_large_is_halved_and_nothing_is_lost(start, tmp_path, whole, refused, expected):
    """Two waves of 8 rows end; in the third memory runs out, and two rows at a time fit."""
    few = [*SMALL, *REFUSING, f"+engine.refused={refused}", "num_samples=24", "engine.batch_size=8", "output_dir=run"]
    run = start(*few)
    assert run.wait() == 0
    assert outcome(tmp_path / "run") == whole
    assert halvings(tmp_path / "run") == expected
    assert "worker 0: out of memory, on with a batch of 2" in run.text
    (session,) = RunFolder(path=tmp_path / "run").sessions()
    # 15 steps a wave: 2 waves of 8, 6 steps of the third (its last one not counted), 4 waves of 2
    assert session["steps"] == 2 * 15 + 6 + 4 * 15
    assert session["records"] == 24


def test_a_row_that_does_not_fit_alone_ends_the_run_in_one_line(start, tmp_path):
    """The two rows that had ended stay, and so does the note of the halving."""
    few = [*SMALL, "sampler._target_=fragile.Fragile", "+sampler.most=0", "+sampler.after=30", "num_samples=6"]
    run = start(*few, "engine.batch_size=2", "output_dir=run")
    assert run.wait() == 2
    assert run.text.splitlines()[-1] == (
        "kvarena: out of memory at a batch of one row: lower max_tokens or the budget, or use a smaller model "
        "(CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )
    assert len(outcome(tmp_path / "run")) == 2
    assert halvings(tmp_path / "run") == [(2, 0, 2, 1)]


def test_a_run_that_has_ended_holds_no_cache(monkeypatch, tmp_path):
    """The next run of a sweep, and other processes, find the memory free."""
    held = []

    def reclaim() -> None:
        gc.collect()
        held.append(sum(type(one) is cache.KVCache for one in gc.get_objects()))

    gc.collect()
    before = sum(type(one) is cache.KVCache for one in gc.get_objects())
    monkeypatch.setattr(memory, "reclaim", reclaim)
    few = [*SMALL, "num_samples=1", "max_tokens=2", "engine.batch_size=1", f"output_dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["kvarena", *few])
    main()
    assert held[-1] == before  # a model that was held for another run may have gone first


def test_set_up_names_the_largest_batch_by_its_bytes(start):
    run = start(*SMALL, "num_samples=1", "output_dir=big", "engine.batch_size=100000000")
    assert run.wait() == 2
    line = run.text.splitlines()[-1]
    assert line.startswith("kvarena: out of memory at engine.batch_size=100000000: use ")
    (size,) = re.findall(r" use engine\.batch_size=(\d+), the largest that fits", line)
    # it was not tried: where Linux promises more memory than there is, the process would be killed
    assert re.search(r"\(the cache takes \d+\.\d GiB, \d+\.\d GiB are free\)$", line)
    # the reasoner: 8 layers, 4 heads of 64, keys and values of float32 and a position; prompts of less than 124 tokens
    row = 8 * 4 * 128 * (2 * 64 * 4 + 4)
    assert 0.3 < int(size) * row / memory.free_bytes(CPU) < 2  # what is free varies with what else runs


def test_set_up_that_fails_for_more_than_its_bytes_names_half(start):
    run = start(*SMALL, "engine._target_=fragile.Small", "+engine.refused=[6]", "engine.batch_size=6", "num_samples=1")
    assert run.wait() == 2
    assert run.text.splitlines()[-1] == (
        "kvarena: out of memory at engine.batch_size=6: use engine.batch_size=3, the largest that fits "
        "(CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )


def test_weights_that_do_not_fit_are_no_matter_of_the_batch(start):
    run = start(*SMALL, "model._target_=fragile.Heavy", "num_samples=1")
    assert run.wait() == 2
    assert run.text.splitlines()[-1] == (
        "kvarena: model reasoner does not fit on cpu: use a smaller one "
        "(CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )


@pytest.fixture
def on_gpu(monkeypatch, tmp_path):
    """on_gpu(*overrides): the command in this process, by CUDA graphs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])

    def run(*overrides: str) -> None:
        common = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cuda", "engine=graphs"]
        monkeypatch.setattr(sys, "argv", ["kvarena", *common, *overrides])
        main()

    return run


@gpu
def test_memory_that_runs_out_in_a_capture(on_gpu, tmp_path, monkeypatch):
    """The step is captured anew where the dense layers grow; four rows have no memory for it then."""
    monkeypatch.setattr(cache, "GROWTH", 16)
    few = ["method=full", "num_samples=8", "max_tokens=240", "engine.batch_size=4"]
    on_gpu(*few, "output_dir=whole")
    # calls before: three to warm up and one to capture, and the first tokens of four prompts
    on_gpu(*few, "sampler._target_=fragile.Fragile", "+sampler.after=8", "output_dir=run")
    assert [one[1:] for one in halvings(tmp_path / "run")] == [(0, 4, 2)]
    tokens, expected = (
        {key: row["token_ids"] for key, row in outcome(tmp_path / name).items()} for name in ("run", "whole")
    )
    assert len(tokens) == 8
    # a product of another size may tip a choice between two near-equal tokens
    assert sum(tokens[key] == expected[key] for key in expected) >= 6


@gpu
def test_the_batch_that_set_up_names_fits(on_gpu, tmp_path, capsys):
    few = ["num_samples=1", "max_tokens=4"]
    with pytest.raises(SystemExit):
        on_gpu(*few, "engine.batch_size=10000000", "output_dir=big")
    (size,) = re.findall(r": use engine\.batch_size=(\d+), the largest that fits", capsys.readouterr().err)
    on_gpu(*few, f"engine.batch_size={size}", "output_dir=run")
    assert len(outcome(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # 2 layers of 100 slots in blocks of 64, two heads: keys and values of 8 bfloat16, and a position
        (Full(), 2 * 128 * 2 * (2 * 8 * 2 + 4)),
        # 32 + 8 slots, and 3 query heads of 4 queries
        (SnapKV(budget=Budget(tokens=32, recent=4, sinks=0, interval=8)), 2 * (64 * 2 * 36 + 2 * 3 * 4 * 8 * 2)),
    ],
    ids=["full", "snapkv"],
)
def test_bytes_of_a_row(policy, expected):
    shape = Shape(layers=2, heads=2, groups=3, dim=8)
    assert memory.row_bytes(policy, shape, torch.bfloat16, longest_prompt=10, longest=100) == expected


@pytest.mark.parametrize(
    ("free", "row", "fitting"), [(1000, 100, 8), (99, 100, 0), (102 * 2**30, 2**30, 100)], ids=["part", "none", "most"]
)
def test_some_memory_is_left_free(monkeypatch, free, row, fitting):
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    assert memory.largest_batch(row, CPU) == fitting


def test_memory_of_the_cpu_is_what_torch_is_refused_beyond():
    assert 2**27 < memory.free_bytes(CPU) < 2**50


def raised_within(cause: Exception, error: Exception) -> Exception:
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nMore"), "CUDA out of memory."),
        (RuntimeError("CUDA error: out of memory"), "CUDA error: out of memory"),
        (RuntimeError("Triton Error [CUDA]: out of memory"), "Triton Error [CUDA]: out of memory"),
        (raised_within(torch.OutOfMemoryError("none left"), RuntimeError("capture failed")), "none left"),
        (RuntimeError("shapes differ"), None),
        (raised_within(ValueError("x"), RuntimeError("y")), None),
    ],
    ids=["torch", "driver", "triton", "within_a_capture", "other", "other_chain"],
)
def test_errors_of_too_little_memory_are_told_from_others(error, reason):
    assert memory.shortage(error) == reason
