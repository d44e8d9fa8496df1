"""The decode loop with its step and its rounds captured in CUDA graphs: the same tokens, without the host in between.

Single tokens take fused layers (`fused.py`), or the model's own, compiled one by one; prompts take the model as it is,
or fused layers where they are captured.
A step is captured before the first prompt, again where a dense layer has moved, and for fewer rows where these are all
that is left; a round is captured for 1, 2, 4, ... rows as they come, padded with rows that have nothing to drop;
prompts, where asked for, by their rounded lengths.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ...methods.policy import Policy
from ...methods.settings import fit
from ..cache import KVCache, RoundFacts, Shape, memory
from ..generate import Decoder, Prompt, Sees, sizes
from ..model import decoder_layers, forward
from .branches import Branches
from .fused import FusedLayer, fuse
from .prompts import PackedPrompt

BRANCHES = 8  # layers whose rounds may run at the same time, of few rows: each of many has memory of its own
WARM_UP = 3  # calls before a capture: compilation, and what libraries allocate on first use


class Program:
    """Work on tensors that stay in place, captured once and replayed."""

    def __init__(self, work: Callable[[], object], pool: Any, warm_up: int) -> None:
        self.work = work  # what it closes over must stay in place, too
        self.graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                work()
        torch.cuda.current_stream().wait_stream(side)
        # relaxed: a kernel that meets a new size may have to be loaded
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="relaxed"):
            work()

    def __call__(self) -> None:
        self.graph.replay()


@dataclass(kw_only=True)
class Round:
    """Evictions of so many rows."""

    at: Tensor  # [R] int64, which rows
    packed: Tensor  # their `RoundFacts`
    program: Program


@dataclass(kw_only=True)
class Beginning:
    """Of so many rows."""

    new: Tensor  # [R, 5] int64
    tokens: Tensor  # [R] int64, the first ones
    program: Program


@dataclass(kw_only=True)
class GraphDecoder(Decoder):
    """Needs a CUDA device and Triton."""

    look: PositiveInt = 8
    capture_prompts: bool = False
    prompts_at_once: PositiveInt = 1  # with captured prompts: what is left of one may then hang on those beside it
    _layers: dict[nn.Module, Callable] = field(init=False)
    _fused: bool = field(init=False)  # all of them
    _steps: dict[int, Program] = field(init=False, default_factory=dict)  # by their number of rows
    _rounds: dict[int, Round] = field(init=False, default_factory=dict)  # by their number of rows
    _begins: dict[int, Beginning] = field(init=False, default_factory=dict)  # by their number of rows
    _pool: Any = field(init=False)  # of memory, which all captures share

    @classmethod
    def check(cls, shape: Shape, device: torch.device) -> None:
        if device.type != "cuda":
            raise ValueError(f"engine=graphs needs a CUDA device, and the model is on {device}: use engine=eager")
        super().check(shape, device)

    @classmethod
    def serves(cls, policy: Policy) -> None:
        if policy.needs.module:
            name = type(policy).__name__
            raise ValueError(f"engine=graphs captures rounds, which {name} does not bear: use engine=eager")

    @classmethod
    def agree(cls, settings: Mapping[str, Any]) -> None:
        if (several := settings.get("prompts_at_once", 1)) > 1 and not settings.get("capture_prompts"):
            what = f"engine.prompts_at_once={several}"
            raise ValueError(f"{what} is for captured prompts: give engine.capture_prompts=true too")

    def __post_init__(self) -> None:
        self.prompts_at_once = fit("prompts_at_once", self.prompts_at_once, PositiveInt)
        self.agree(vars(self))
        super().__post_init__()

    def prompts(self, cache: KVCache, sees: Sees = forward) -> Prompt:
        if not self.capture_prompts:
            return super().prompts(cache, sees)
        return PackedPrompt(
            cache=cache,
            sees=sees,
            most=self.prompts_at_once,
            capture=self._capture_prompt,
            layers_as=self.single_tokens if self._fused else nullcontext,
        )

    def _capture_prompt(self, work: Callable[[], None]) -> Program:
        with capturing(self.model.config.model_type):
            return Program(work, self._pool, warm_up=1)

    def fit_layers(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        fuse(self.model)
        fused = {layer: FusedLayer.of(layer, self.ranks) for layer in decoder_layers(self.model)}
        if self.ranks.size > 1 and None in fused.values():
            family = self.model.config.model_type
            raise ValueError(f"engine=graphs splits no layers of model {family}: use engine=eager")
        self._layers = {layer: ours or torch.compile(layer.forward, dynamic=False) for layer, ours in fused.items()}
        # a layer that is compiled would be compiled for every number of rows
        self._fused = None not in fused.values()
        self.narrow = self.narrow and self._fused

    def single_tokens(self) -> AbstractContextManager[None]:
        return forwards(self._layers)

    def prepare(self) -> None:
        """Capture the step while no row is live, so that warming up changes nothing that counts.

        Steps of fewer rows are warmed up too: when they are captured, rows are live.
        """
        if self.batch_size in self._steps:
            return
        with self.single_tokens():
            for rows in sizes(self.batch_size) if self.narrow else ():
                self.use(rows)
                super().step()
        self.use(self.batch_size)
        self._capture_step(warm_up=WARM_UP)
        self.buffer.restart()

    def _capture_step(self, warm_up: int) -> None:
        with self.single_tokens(), capturing(self.model.config.model_type):
            self._steps[self.cache.used.count] = Program(super().step, self._pool, warm_up)

    def begin(self, new: Tensor) -> Tensor:
        """So many rows for the first time begin uncaptured: what a capture has to find compiled is so then."""
        if not self.capture_prompts:
            return super().begin(new)
        if (size := len(new)) not in self._begins:
            tokens = super().begin(new)
            self._begins[size] = self._capture_beginning(new.to(self.device))
            return tokens
        beginning = self._begins[size]
        beginning.new.copy_(new, non_blocking=True)
        beginning.program()
        return beginning.tokens

    def _capture_beginning(self, new: Tensor) -> Beginning:
        tokens = torch.zeros(len(new), dtype=torch.int64, device=self.device)
        begin = super().begin
        return Beginning(new=new, tokens=tokens, program=Program(lambda: tokens.copy_(begin(new)), self._pool, 0))

    def moved(self) -> None:
        """The programs point to memory that is gone. A capture alone runs nothing, so live rows stay as they are."""
        before = self._steps  # until there is another: the memory that captures share goes with the last of them
        self._steps = {}
        self._begins.clear()
        self._rounds.clear()
        self._capture_step(warm_up=0)
        before.clear()

    def step(self) -> None:
        if self.cache.used.count not in self._steps:
            self._capture_step(warm_up=0)
        self._steps[self.cache.used.count]()

    def round(self, rows: Sequence[int]) -> None:
        size = min(1 << (len(rows) - 1).bit_length(), self.batch_size)
        if size not in self._rounds:
            self._rounds[size] = self._capture_round(size)
        program = self._rounds[size]
        due = set(rows)
        others = [row for row in range(self.batch_size) if row not in due]
        padded = sorted([*rows, *others[: size - len(rows)]])
        packed = self.cache.pack(padded)
        RoundFacts.nothing_to_drop(packed, [place for place, row in enumerate(padded) if row not in due])
        program.at.copy_(torch.tensor(padded), non_blocking=True)
        program.packed.copy_(packed, non_blocking=True)
        program.program()

    def _capture_round(self, size: int) -> Round:
        """Warmed up on rows that have nothing to drop."""
        at = torch.arange(size, device=self.device)
        packed = self.cache.pack(range(size))
        RoundFacts.nothing_to_drop(packed, range(size))
        packed = packed.to(self.device)
        branches = Branches(
            max(2, min(BRANCHES, 128 // size)) if self.ranks.size == 1 else 1
        )  # ranks meet in one order
        program = Program(lambda: self.cache.drop_packed(at, packed, branches), self._pool, WARM_UP)
        return Round(at=at, packed=packed, program=program)


@contextmanager
def forwards(layers: Mapping[nn.Module, Callable]) -> Iterator[None]:
    """Layers run so inside, and as before outside."""
    for layer, call in layers.items():
        layer.forward = call
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def capturing(family: str) -> Iterator[None]:
    """What a family's own code does that no graph holds, such as asking the device for a size, is a refusal."""
    try:
        yield
    except RuntimeError as error:
        if memory.shortage(error):
            raise
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"engine=graphs cannot capture model {family}: {reason}; use engine=eager") from error
