"""Two ranks on CPUs against one, all methods; and what a run of two processes leaves, also when one of them dies."""

import csv
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from kvarena.methods.knorm import KNorm
from kvarena.runners.generate.probe import refusing
from kvarena.runners.parallel import TOGETHER, Ranks, RowLinear, check_split, meet, refusing_loss, split_over
from torch.distributed import HashStore
from transformers import GPT2Config, LlamaConfig, Phi3Config, Qwen3Config

PACKED = "knorm cache=fp8"
SMALL = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cpu", "max_tokens=32"]
SMALL += ["engine.batch_size=2", "num_samples=6"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pair(folder: Path, *names: str) -> list[dict[str, str]]:
    """The lines of two processes."""
    script, port = Path(__file__).with_name("ranks_and_one.py"), str(free_port())
    meeting = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    command = [sys.executable, str(script), str(folder), *names]
    both = [subprocess.Popen(command, env=os.environ | meeting | {"RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    with (folder / "equal.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def hold(lines: list[dict[str, str]]) -> None:
    for line in lines:
        assert (line["positions"], line["tokens"], line["usage"], line["bytes"]) == ("True", "True", "True", "0.5"), (
            line
        )


def test_two_ranks_keep_and_say_what_one_does(tmp_path):
    """Methods over heads, one of each other kind; biases, norms, embeddings; a row that is refilled, and sampled."""
    lines = pair(tmp_path, "--kinds")
    hold(lines)
    assert {"longflow qwen3", "reasonalloc qwen3", "adakv llama", "vase_attnv llama_fused"} < {
        each["case"] for each in lines
    }


@dataclass(frozen=True, kw_only=True)
class Rounded(KNorm):
    """Norms that are off by a share of themselves, which grows with the position."""

    off: float = 0.0

    def score(self, view):
        return super().score(view) * (1 + self.off * view.positions)


def test_only_what_lies_within_rounding_may_part(monkeypatch):
    """Equal tokens have keys of one length in the first layer: either may go. More is no rounding."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import ranks_and_one as both

    (case,) = both.cases(["knorm"], kinds=False)
    model = both.model_of("qwen3", torch.device("cpu"))

    def line(off: float):
        policy = Rounded(budget=case.policy.budget, off=off)
        part = both.decoded(case._replace(policy=policy), model, both.ALONE, both.Decoder)
        return both.compared(case, [part], alone)

    alone = both.decoded(case, model, both.ALONE, both.Decoder)
    same, tie, fault = line(0), line(1e-7), line(3e-3)
    assert (same["positions"], same["tie"]) == (True, None)
    assert not tie["positions"]
    assert tie["tie"] <= both.TIED
    assert not fault["positions"]
    assert fault["tie"] > 100 * both.TIED
    found = [both.is_as_alone(case, each | {"logits": 0.0}) for each in (same, tie, fault)]
    assert found == [True, True, False]
    assert not both.is_as_alone(case, tie | {"logits": 0.0, "tokens": False})
    assert not both.is_as_alone(case._replace(storage=both.storage_of(PACKED)), tie | {"logits": 0.0})
    assert both.gap([1, 2], [1, 3], {}) == math.inf  # a rule of its own


@pytest.mark.slow
def test_so_do_all_methods(tmp_path):
    lines = pair(tmp_path)
    hold(lines)
    assert len(lines) > 55


@pytest.mark.parametrize(
    ("config", "size", "why"),
    [
        (Qwen3Config(num_attention_heads=8, num_key_value_heads=4), 3, "4 KV heads of qwen3 are shared out by 1, 2, 4"),
        (LlamaConfig(num_attention_heads=8, num_key_value_heads=4, intermediate_size=9), 2, "an MLP of 9 channels"),
        (Phi3Config(num_attention_heads=8, num_key_value_heads=4), 2, "model phi3 has no plan of columns and rows"),
        (GPT2Config(), 2, "gpt2 has no plan|an MLP of None channels"),
    ],
    ids=["heads", "channels", "joined", "no_plan"],
)
def test_what_cannot_be_split_is_refused(config, size, why):
    with pytest.raises(ValueError, match=f"tensor_parallel={size}: .*({why})"):
        check_split(config, size)
    check_split(config, 1)


def test_a_rank_holds_its_columns_and_rows(tiny_model):
    whole, own = tiny_model("qwen2"), tiny_model("qwen2")
    split_over(own, Ranks(rank=1, size=2))
    before, after = (model.model.layers[0] for model in (whole, own))
    assert torch.equal(after.self_attn.k_proj.weight, before.self_attn.k_proj.weight[16:])
    assert torch.equal(after.self_attn.q_proj.bias, before.self_attn.q_proj.bias[32:])
    assert torch.equal(after.mlp.down_proj.weight, before.mlp.down_proj.weight[:, 48:])
    assert isinstance(after.self_attn.o_proj, RowLinear)
    assert after.self_attn.o_proj.weight.untyped_storage().nbytes() == (before.self_attn.o_proj.weight.nbytes // 2)
    assert torch.equal(own.lm_head.weight, whole.lm_head.weight)


def test_a_rank_that_is_gone_is_no_fault_of_the_model(tiny_model):
    """It may go while the model is tried."""
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    model, gone = tiny_model("qwen2"), f"tensor_parallel=2: a rank is gone; {TOGETHER}"
    with pytest.raises(ValueError, match=gone), refusing_loss(2), refusing(model):
        raise lost


def test_ranks_that_cannot_meet_say_why(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere")
    with pytest.raises(ValueError, match=r"tensor_parallel=2: the ranks do not meet: .*nowhere"):
        meet(0, 2, HashStore(), torch.device("cpu"))


@pytest.mark.slow
def test_a_run_of_two_ranks_and_a_rank_that_dies(start, until, tmp_path):
    """One line, exit status 2, and the same command goes on, on one process."""
    records = tmp_path / "run/records.jsonl"
    run = start(*SMALL, "tensor_parallel=2", "max_tokens=96", "output_dir=run")
    until(lambda: records.exists() and records.read_bytes().count(b"\n") >= 2)
    (follower,) = children(run.pid)
    os.kill(follower, signal.SIGKILL)
    assert run.wait() == 2
    lines = [line for line in run.text.splitlines() if line.startswith("kvarena: ")]
    assert lines == ["kvarena: tensor_parallel=2: a rank is gone; the records are kept, and the same command goes on"]
    there = records.read_bytes()
    assert 2 <= there.count(b"\n") < 6
    ((own, other),) = json.loads((tmp_path / "run/run.json").read_text())["rank_bytes"]
    assert start(*SMALL, "max_tokens=96", "output_dir=run").wait() == 0
    assert records.read_bytes().startswith(there)
    assert records.read_bytes().count(b"\n") == 6
    assert start(*SMALL, "max_tokens=96", "output_dir=alone").wait() == 0
    assert said(records) == said(tmp_path / "alone/records.jsonl")
    assert own == other
    assert own["cache"] > 0


def children(pid: int) -> list[int]:
    """Processes that have it as their parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with_parent = re.match(r"(\d+) \(.*\) \w (\d+) ", status.read_text())
        if with_parent and int(with_parent[2]) == pid:
            found.append(int(with_parent[1]))
    return found


def said(file: Path) -> dict[tuple[str, int], list[int]]:
    return {
        (each["sample"], each["draw"]): each["token_ids"] for each in map(json.loads, file.read_text().splitlines())
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["tensor_parallel=3"], "tensor_parallel=3: 4 KV heads of qwen3 are shared out by 1, 2, 4"),
        (["tensor_parallel=2", "engine.trace=1"], "engine.trace writes whole layers, and tensor_parallel=2 has parts"),
        (["tensor_parallel=0"], "tensor_parallel=0: use 1 or more"),
    ],
    ids=["heads", "trace", "none"],
)
def test_what_a_user_gets_wrong_is_one_line(start, words, why):
    run = start(*SMALL, *words)
    assert run.wait() == 2
    assert run.text.startswith(f"kvarena: {why}")
    assert run.text.count("\n") == 1
