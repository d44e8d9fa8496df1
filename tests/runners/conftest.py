"""A cache fed with random vectors in place of a model's, and all that it was ever fed; the command as a process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from kvarena.kernels.noise import Noise
from kvarena.runners import evaluate
from kvarena.runners.cache import KVCache, Shape
from kvarena.runners.generate import Prompt
from kvarena.runners.record import Record

RECORD = Record(
    sample="a",
    draw=0,
    token_ids=[3, 1],
    completion="größer ✓",
    answer="1",
    target="1",
    score=1.0,
    note="",
    stop="eos",
    prompt_tokens=5,
    num_tokens=2,
    num_evictions=3,
    peak_slots=7.0,
    mean_slots=6.5,
    tokens_read=6.5,
    resident_bytes=100,
    loop_onset=None,
    loop_period=None,
    prefill_s=0.1,
    decode_s=0.2,
)
RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}  # what Ray's processes know one another by
SHAPE = Shape(layers=2, heads=2, groups=2, dim=8)
SCALE = 0.4


class Feed:
    def __init__(self, policy, batch_size: int, longest_prompt: int, longest: int) -> None:
        self.rng = torch.Generator().manual_seed(0)
        self.cache = KVCache(
            policy=policy,
            shape=SHAPE,
            batch_size=batch_size,
            longest_prompt=longest_prompt,
            longest=longest,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        # of each row's present sequence: queries [L, Hq, S, D], keys and values [L, H, S, D]
        self.tape = [None] * batch_size
        self.outputs = [None] * batch_size  # of the last call, [L, Hq, D]

    def draw(self, *size: int) -> torch.Tensor:
        return torch.randn(*size, SHAPE.dim, generator=self.rng)

    def admit(self, row: int, prompt: int) -> None:
        L, H, G, *_ = SHAPE
        self.cache.admit(row, prompt, Noise.key(0, row, 0))
        self.tape[row] = [self.draw(L, H * G, prompt), self.draw(L, H, prompt), self.draw(L, H, prompt)]
        read = Prompt(cache=self.cache)
        outputs = [read.attend(i, *(part[i][None] for part in self.tape[row]), SCALE)[0, -1] for i in range(L)]
        self.cache.seat(torch.tensor([row]), read.layers)
        self.outputs[row] = torch.stack(outputs)

    def step(self) -> None:
        """One token for every row; nothing is evicted."""
        L, H, G, *_ = SHAPE
        B = self.cache.batch_size
        new = [self.draw(L, B, H * G, 1), self.draw(L, B, H, 1), self.draw(L, B, H, 1)]
        outputs = torch.stack([self.cache.attend(i, *(part[i] for part in new), SCALE) for i in range(L)])
        self.cache.advance()
        for row, clock in enumerate(self.cache.clocks):
            if clock:
                self.cache.count(row)
                self.tape[row] = [
                    torch.cat([old, part[:, row]], 2) for old, part in zip(self.tape[row], new, strict=True)
                ]
                self.outputs[row] = outputs[:, row, 0]

    def evict(self, rows: list[int]) -> None:
        self.cache.drop(rows)
        self.cache.evicted(rows)

    def run(self, steps: int) -> None:
        """Steps, each with the evictions that are due after it."""
        for _ in range(steps):
            self.step()
            if due := self.cache.due():
                self.evict(due)

    def positions(self, layer: int, row: int, head: int) -> list[int]:
        """Live positions, sorted."""
        columns = self.cache.layers[layer]
        return sorted(columns.positions[row, head, : columns.lengths[row, head]].tolist())

    def dense(self, row: int) -> torch.Tensor:
        """[L, Hq, D]: attention of the newest query over the whole tape."""
        queries, keys, values = self.tape[row]
        keys, values = (part.repeat_interleave(SHAPE.groups, 1) for part in (keys, values))
        logits = (queries[:, :, -1, None] @ keys.mT).squeeze(2) * SCALE
        return (logits.softmax(-1)[:, :, None] @ values).squeeze(2)


@pytest.fixture
def feed() -> Callable:
    def build(policy, *, batch_size: int = 2, longest_prompt: int = 12, longest: int = 60) -> Feed:
        return Feed(policy, batch_size, longest_prompt, longest)

    return build


@pytest.fixture(scope="session")
def shape() -> Shape:
    return SHAPE


@pytest.fixture(scope="session")
def scale() -> float:
    return SCALE


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """record(**changed): a record of two tokens."""
    return partial(replace, RECORD)


@pytest.fixture(scope="session")
def runs_in(tmp_path_factory) -> Callable[..., Path]:
    """runs_in(name, *runs): a new folder, in which kvarena was called with the words of each run."""

    def called(name: str, *runs: Sequence[str]) -> Path:
        folder = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for words in runs:
                patch.setattr(sys, "argv", ["kvarena", *words])
                evaluate.main()
        return folder

    return called


class Server:
    """tests/runners/server.py at work."""

    def __init__(self) -> None:
        file = Path(__file__).with_name("server.py")
        beside = {"PYTHONPATH": str(file.parents[1])}  # composing.py, fragile.py
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | RAY | beside
        command, pipe = [sys.executable, str(file)], subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, **order) -> int:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


class Command:
    """A running kvarena."""

    def __init__(self, server: Server, folder: Path, overrides: tuple[str, ...], max_bytes: int | None) -> None:
        self.server, self.output = server, folder / f"output-{time.monotonic_ns()}"
        argv, output = list(overrides), str(self.output)
        self.pid = server.ask(argv=argv, folder=str(folder), output=output, max_bytes=max_bytes)

    def wait(self) -> int:
        return self.server.ask(wait=self.pid)

    def kill(self, number: int = signal.SIGKILL) -> int:
        os.kill(self.pid, number)
        return self.wait()

    @property
    def text(self) -> str:
        return self.output.read_text()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.process.stdin.close()
    server.process.wait()


@pytest.fixture(scope="session")
def ray_environment() -> dict[str, str]:
    return RAY


@pytest.fixture(scope="session")
def launch(server) -> Callable[..., Command]:
    """launch(folder, *overrides): the command in a process of its own, standing in a folder."""

    def run(folder: Path, *overrides: str, max_bytes: int | None = None) -> Command:
        return Command(server, folder, overrides, max_bytes)

    return run


@pytest.fixture
def start(launch, tmp_path) -> Callable[..., Command]:
    """start(*overrides): the same in tmp_path."""
    return partial(launch, tmp_path)


@pytest.fixture(scope="session")
def until() -> Callable:
    """until(condition): wait for it, or fail."""
    return wait_for
