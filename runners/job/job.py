"""A config made real: everything it names, built and checked before any weight is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from ...methods.policy import Policy
from ...tasks.task import Sample, Task
from ..attention import Attention
from ..cache import Shape, Storage, bytes_share
from ..generate import Decoder, Request
from ..model import DTYPES, Checkpoint, Tokenizer, shape_of
from ..parallel import check_split
from ..record import Labels, file_name
from ..sampler import Sampler
from .budget import resolve, shape_config, storage_of, tokens_of
from .given import refuse_given
from .identity import identity
from .keys import Evaluation
from .logger import Logger
from .made_of import weights
from .prompts import Prompts
from .resume import begun_before
from .schema import check_plain, checked
from .workers import Backend


@dataclass(frozen=True, kw_only=True)
class Job:
    config: dict[str, Any]  # resolved
    labels: Labels
    task: Task
    policy: Policy
    checkpoint: Checkpoint
    sampler: Sampler
    engine: partial[Decoder]
    attention: Attention
    storage: Storage
    samples: Sequence[Sample]  # none where they are not fetched
    num_samples: int
    workers: Backend
    logger: Logger
    device: torch.device | None  # None: this process computes nothing

    @property
    def identity(self) -> str:
        return identity(asdict(self.labels), self.config)

    @property
    def folder(self) -> Path:
        if self.config["output_dir"]:
            return Path(self.config["output_dir"])
        labels = self.labels
        task = "-".join(filter(None, (labels.task, labels.difficulty)))
        budget = f"-{labels.tokens}" if labels.tokens else ""
        packed = f"-{labels.cache}" if self.storage.packs else ""
        parts = [task, labels.model, f"{labels.method}{packed}{budget}"]
        *places, stem = (file_name(name) for part in parts for name in part.split("/"))
        place = Path(self.config["runs_dir"], *places)
        named = place / f"{stem}-{self.identity[:6]}"
        return named if named.exists() else begun_before(place, stem, asdict(self.labels), self.config) or named

    @property
    def accepted(self) -> list[str]:
        """What may have changed since the run began."""
        kinds = self.config.get("accept_changed") or []
        return [kinds] if isinstance(kinds, str) else kinds

    def asked(self, requests: Sequence[Request]) -> list[Request]:
        """This job's among those of a whole run."""
        ids = {sample.id for sample in self.samples}
        return [each for each in requests if each.sample in ids and each.draw < self.config["num_draws"]]

    def whole(self, there: Mapping[str, Any]) -> "Job":
        """The same with as many samples and draws as a folder has of them, by its run.json, where these are more."""
        num_samples = min(there.get("num_samples", 0), len(self.task.samples))
        num_draws = max(there.get("num_draws", 0), self.config["num_draws"])
        samples = self.task.samples[:num_samples] if num_samples > len(self.samples) else self.samples
        return replace(self, samples=samples, num_samples=len(samples), config=self.config | {"num_draws": num_draws})

    @property
    def unfetched(self) -> list[str]:
        """What a dry run leaves on the hub."""
        if not self.config["dry_run"]:
            return []
        data = [] if self.samples else [f"data set of {self.task.name}"]
        return [*data, f"model {self.checkpoint.source}"] if self.checkpoint.remote else data

    @property
    def title(self) -> str:
        labels = self.labels
        budget = f", ratio {labels.ratio:g}, {labels.tokens} tokens" if labels.tokens else ""
        if labels.tokens and (share := self.config["compression"].get("share")) is not None:
            budget = f", a share of {share:g}"
        return f"{labels.named} on {labels.task}{budget}"

    @property
    def forces(self) -> bool:
        """Whether its texts are known, and fidelity is what is measured."""
        return any(sample.completions for sample in self.samples)

    def check(self) -> None:
        """Refuse a model that cannot be read or run, before any weight is loaded."""
        known = shape_config(self.checkpoint.name) if self.unfetched else self.checkpoint.config()
        shape = shape_of(known) if known else None
        engine = cast(type[Decoder], self.engine.func)
        engine.agree(self.engine.keywords)
        engine.serves(self.policy)
        if self.device:
            if shape:
                engine.check(shape, self.device)
            self.attention.check(self.policy, DTYPES[self.checkpoint.dtype], self.device, self.storage.packs)
        if (size := self.config.get("tensor_parallel", 1)) > 1:
            self._check_ranks(size)
            if known:
                check_split(known, size)
        if shape:
            for layer in range(shape.layers):
                self.policy.tokens(layer, shape.layers)  # a budget by layer is of this many
            self.storage.check(shape, self.policy)
        if self.policy.trained and (found := weights(self.checkpoint)):  # the hub's may not be here yet
            self.policy.fits(found)

    def _check_ranks(self, size: int) -> None:
        if self.config["engine"]["trace"]:
            raise ValueError(f"engine.trace writes whole layers, and tensor_parallel={size} has parts of them: use 1")
        if self.forces:
            raise ValueError(f"tensor_parallel={size}: texts are forced through whole models alone, use 1")
        if self.policy.needs.module:
            name = type(self.policy).__name__
            raise ValueError(f"tensor_parallel={size}: {name} hands on whole layers, use 1")

    @property
    def batch_variant(self) -> bool:
        """Whether what a row says may hang on those beside it."""
        engine = self.config["engine"]
        return bool(engine.get("narrow")) or engine.get("prompts_at_once", 1) > 1

    def bytes_share(self, shape: Shape) -> float:
        """Of the dense cache's bytes, that the budget comes to."""
        return bytes_share(self.task.dense_length, self.policy, shape, self.storage)

    def requests(self, tokenizer: Tokenizer) -> list[Request]:
        prompts = Prompts(task=self.task, checkpoint=self.checkpoint, max_tokens=self.config["max_tokens"])
        return prompts.requests(self.samples, self.config["num_draws"], tokenizer)


def build(config: DictConfig, method: str) -> Job:
    """Instantiate what a composed config names; `method` is the name of its method file."""
    check_plain(Evaluation, config)
    plain = checked(Evaluation, resolve(config))
    if (share := plain["compression"].get("bytes")) is not None:
        plain = checked(Evaluation, resolve(config, tokens_of(share, plain)))
    refuse_given(plain["engine"])
    config = DictConfig(plain)
    task, policy, checkpoint = instantiate(config.task), instantiate(config.method), instantiate(config.model)
    sampler: Sampler = instantiate(config.sampler)
    workers: Backend = instantiate(config.workers)
    if not (policy.stochastic or sampler.stochastic):
        plain["num_draws"] = 1  # all would be the same
    size = plain.pop("num_problems", None)
    fetched = not (plain["dry_run"] and task.remote and size)
    size = len(task.samples) if fetched else size
    num_samples = plain["num_samples"] or size
    if num_samples > size:
        raise ValueError(f"num_samples={num_samples}: {task.path or f'task {task.name}'} has {size}")
    if fetched:
        task.check(task.samples[0])
    return Job(
        config=plain,
        labels=labels_of(plain, method, task, policy, checkpoint.name),
        task=task,
        policy=policy,
        checkpoint=checkpoint,
        sampler=sampler,
        engine=instantiate(config.engine),
        attention=instantiate(config.attention),
        storage=storage_of(plain),
        samples=[task.samples[i] for i in range(num_samples)] if fetched else [],
        num_samples=num_samples,
        workers=workers,
        logger=instantiate(config.logger),
        device=workers.device(plain["device"]),
    )


def labels_of(config: Mapping[str, Any], method: str, task: Task, policy: Policy, model: str) -> Labels:
    tokens, ratio = config["compression"]["tokens"], config["compression"]["ratio"]
    return Labels(
        task=task.name,
        difficulty=config["difficulty"] if config["levels"] else None,
        model=model,
        method=method,
        ratio=task.dense_length / tokens if ratio is None else ratio,
        tokens=tokens,
        evicts=policy.evicts,
        selects=policy.selects,
        protects_prompt=policy.evicts and policy.budget.protect_prompt,
        cache=storage_of(config).name,
    )


def find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name}: use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device={name}: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name}: torch sees {torch.cuda.device_count()} CUDA devices; use device=cpu engine=eager"
        )
    return device
