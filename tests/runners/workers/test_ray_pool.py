"""Ray: two workers make the records of one process, also when one of them is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kvarena.runners.record import RunFolder
from kvarena.runners.workers.ray_pool import Ray

SMALL = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cpu", "max_tokens=32"]
SMALL += ["engine.batch_size=2", "num_samples=16", "num_draws=2"]
CLUSTER = """
import ray, sys
ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def outcome(folder) -> dict:
    timed = {"prefill_s": 0, "decode_s": 0}
    return {record.key: vars(record) | timed for record in RunFolder(path=folder).records()}


@pytest.fixture
def lines(tmp_path):
    file = tmp_path / "run/records.jsonl"
    return lambda: file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def address(ray_environment):
    """Of a cluster that is there already."""
    pipe, environment = subprocess.PIPE, os.environ | ray_environment
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.mark.slow
def test_a_worker_is_killed_and_the_records_are_those_of_one_process(start, until, lines, tmp_path):
    """On a cluster of its own."""
    run = start(*SMALL, "workers=ray", "num_workers=2", "output_dir=run")
    until(lambda: lines() >= 3)
    workers = dict(re.findall(r"worker (\d): (\d+) on ", run.text))
    assert sorted(workers) == ["0", "1"]
    os.kill(int(workers["0"]), signal.SIGKILL)
    assert run.wait() == 0
    assert re.search(r"worker 0 died with \d rows under way, hiring another: ", run.text)
    assert start(*SMALL, "output_dir=alone").wait() == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "alone")
    assert lines() == 32
    header, (session,) = RunFolder(path=tmp_path / "run").run(), RunFolder(path=tmp_path / "run").sessions()
    assert (header["num_workers"], session["num_workers"], session["records"]) == (2, 2, 32)


@pytest.mark.slow
def test_all_workers_are_killed_at_once_and_replaced(start, until, lines, tmp_path):
    """As where a node is lost: more than one may die in a row."""
    run = start(*SMALL, "workers=ray", "num_workers=4", "output_dir=run")
    until(lambda: lines() >= 1)
    workers = re.findall(r"worker \d: (\d+) on ", run.text)
    assert len(workers) == 4
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    assert run.wait() == 0
    assert run.text.count(" died with ") == 4
    assert lines() == 32


@pytest.mark.slow
def test_on_a_cluster_that_is_there(start, tmp_path, address):
    few = ["num_samples=2", "max_tokens=8", f"ray.address={address}", "workers=ray"]
    run = start(*SMALL, *few, "output_dir=run")
    assert run.wait() == 0
    assert len(outcome(tmp_path / "run")) == 4
    many = start(*SMALL, *few, "output_dir=many", "num_workers=9")
    assert many.wait() == 2
    assert many.text.splitlines()[-1] == "kvarena: num_workers=9: the cluster has 2 CPUs"
    big = start(*SMALL, *few, "output_dir=big", "engine.batch_size=100000000")
    assert big.wait() == 2
    assert big.text.splitlines()[-1].startswith("kvarena: out of memory at engine.batch_size=100000000: use engine")


@pytest.mark.slow
def test_workers_that_run_out_of_memory_halve_their_batches(start, tmp_path, address):
    """Four rows at a time until the 40th call, then two: each worker for itself."""
    shutil.copy(Path(__file__).parents[2] / "fragile.py", tmp_path)  # where workers look for modules, too
    few = ["num_draws=1", "engine.batch_size=4"]
    fragile = ["sampler._target_=fragile.Fragile", "+sampler.after=40"]
    run = start(*SMALL, *few, *fragile, "workers=ray", "num_workers=2", f"ray.address={address}", "output_dir=run")
    assert run.wait() == 0
    assert start(*SMALL, *few, "output_dir=alone").wait() == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "alone")
    header = RunFolder(path=tmp_path / "run").run()
    assert sorted((one["worker"], one["from"], one["to"]) for one in header["halvings"]) == [(0, 4, 2), (1, 4, 2)]
    assert "worker 1: out of memory, on with a batch of 2" in run.text


def test_a_trace_is_refused(start):
    run = start(*SMALL, "workers=ray", "engine.trace=1", "output_dir=run")
    assert run.wait() == 2
    assert run.text.splitlines()[-1] == "kvarena: engine.trace counts the rows of one process: use workers=local"


@pytest.mark.parametrize("name", ["cuda:1", "gpu"])
def test_the_device_is_the_clusters_choice(name):
    with pytest.raises(ValueError, match=f"device={name}: with workers=ray use auto, cpu or cuda"):
        Ray(num_workers=1, address=None).device(name)
