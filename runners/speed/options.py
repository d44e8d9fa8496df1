"""What a timed decoder is built with: as many rows as were asked for, or as fit, and room for all their steps."""

from dataclasses import dataclass

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from ...methods.policy import Policy
from ..cache import Storage, memory
from ..cache.cache import GROWTH
from ..model import Model, shape_of
from ..sampler import Sampler

ROOM = 128  # steps beside the timed ones and an interval that a row has room for: the gate, looks


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """What every decoder of a position is built with."""

    model: Model
    policy: Policy
    sampler: Sampler
    batch_size: int
    longest_prompt: int
    max_tokens: int
    storage: Storage


def decoder_options(
    config: DictConfig, position: int, policy: Policy, model: Model, storage: Storage
) -> DecoderOptions:
    """Rows have room for their steps from the start, so that nothing moves."""
    steps = config.steps + ROOM + (policy.budget.interval if policy.evicts else 0)
    return DecoderOptions(
        model=model,
        policy=policy,
        sampler=instantiate(config.sampler),
        batch_size=config.batch_size or rows_that_fit(model, policy, config.longest, model.device, storage),
        # memory of an eviction does not depend on the position
        longest_prompt=1 if policy.evicts else position + max(steps - GROWTH, 0),
        max_tokens=position + steps if policy.evicts else steps,
        storage=storage,
    )


def rows_that_fit(model: Model, policy: Policy, longest: int, device: torch.device, storage: Storage) -> int:
    """Rows of `longest` tokens that fit beside the weights."""
    if device.type != "cuda":
        raise ValueError("batch_size=null needs device=cuda: give a number of rows")
    # all of it at once, where layers would grow
    prompt = 1 if policy.evicts else longest
    shape = shape_of(model.config)
    row = memory.row_bytes(policy, shape, model.dtype, longest_prompt=prompt, longest=longest, storage=storage)
    batch, free = memory.largest_batch(row, device), memory.free_bytes(device)
    if batch < 1:
        raise ValueError(f"longest={longest}: one row takes {row / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
    return batch
