"""Which kernel attends to the cache.

H KV heads.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from ..kernels import attend
from ..kernels.attend import Attended
from ..kernels.pack import Stored
from ..methods.policy import Policy


class Attention(Protocol):
    def check(self, policy: Policy, dtype: torch.dtype, device: torch.device, packs: bool = False) -> None:
        """ValueError for what it cannot serve; `packs`: keys or values are stored as codes."""
        ...

    def __call__(
        self,
        query: Tensor,
        keys: Stored,
        values: Stored,
        lengths: Tensor,
        *,
        longest: int,
        scale: float,
        pages: Tensor | None = None,
        page: int = 0,
        bias: Tensor | None = None,
    ) -> Attended:
        """As `kernels.attend.attend`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Own:
    """Our kernels serve every method."""

    def check(self, policy: Policy, dtype: torch.dtype, device: torch.device, packs: bool = False) -> None:
        pass

    __call__ = staticmethod(attend.attend)


@dataclass(frozen=True, kw_only=True)
class FlashAttention:
    """The flash-attn package, for methods that need no probabilities and read all slots, as many in each head."""

    def check(self, policy: Policy, dtype: torch.dtype, device: torch.device, packs: bool = False) -> None:
        method, instead = type(policy).__name__, "use attention=own"
        if packs:
            raise ValueError(f"attention=flash_attn reads no codes, and this cache packs: {instead}, or cache=plain")
        if policy.needs.mass or policy.needs.used:
            raise ValueError(f"attention=flash_attn gives no probabilities, and {method} needs them: {instead}")
        if policy.needs.bias:
            raise ValueError(f"attention=flash_attn adds no bias to a slot, and {method} has one: {instead}")
        if policy.selects:
            raise ValueError(f"attention=flash_attn reads all slots, and {method} chooses among them: {instead}")
        if policy.uneven:
            raise ValueError(f"attention=flash_attn has one length a row, and {method} one a head: {instead}")
        if dtype not in (torch.bfloat16, torch.float16):
            raise ValueError(f"attention=flash_attn takes no {dtype}: use model.dtype=bfloat16, or attention=own")
        if device.type != "cuda":
            raise ValueError(f"attention=flash_attn needs a CUDA device, not {device}: {instead}")
        if find_spec("flash_attn") is None:
            raise ValueError("attention=flash_attn needs its package: pip install 'kvarena[flash-attn]'")

    def __call__(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        lengths: Tensor,
        *,
        scale: float,
        **unused: Any,  # it reads all slots, as far as a row's length
    ) -> Attended:
        from ..kernels.attend import flash

        return Attended(*flash.attend(query, keys, values, lengths, scale))
