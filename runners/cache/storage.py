"""How a cache stores keys and values: a choice of its own beside the method (docs/cache.md)."""

from dataclasses import dataclass, field, replace

import torch
from pydantic import NonNegativeInt

from ...kernels.pack import Format, Plain
from ...methods.policy import Policy
from ...methods.settings import check_types
from .calibration import read_calibration
from .shape import Shape


@dataclass(frozen=True, kw_only=True)
class Storage:
    keys: Format = field(default_factory=Plain)
    values: Format = field(default_factory=Plain)
    residual: NonNegativeInt = 0  # newest tokens of a row that are read as they came
    calibration: str | None = None  # what its formats have learned: the model whose own ships, or a file

    def __post_init__(self) -> None:
        check_types("cache", self)
        if self.residual and not self.packs:
            raise ValueError(f"cache.residual={self.residual}: a plain cache packs nothing, use 0")
        if self.calibration and not self.learns:
            raise ValueError(f"cache.calibration={self.calibration}: nothing of cache={self.name} is learned, use null")

    @property
    def packs(self) -> bool:
        return self.keys.packs or self.values.packs

    @property
    def learns(self) -> bool:
        return bool(self.keys.learns or self.values.learns)

    @property
    def name(self) -> str:
        """As tables call it: keys-values where they differ, +rN with a residual."""
        both = self.keys.name if self.keys == self.values else f"{self.keys.name}-{self.values.name}"
        return both + (f"+r{self.residual}" if self.residual else "")

    def at(self, layer: int, first: int, shape: Shape, device: torch.device) -> "Storage":
        """With what it has learned of a layer, of the heads of `shape` from the `first` on."""
        if not self.learns or device.type == "meta":
            return self
        learned = read_calibration(self.calibration)
        heads = slice(first, first + shape.heads)
        keys = self.keys.of(learned.of("keys", self.keys.learns, layer, heads, device))
        values = self.values.of(learned.of("values", self.values.learns, layer, heads, device))
        return replace(self, keys=keys, values=values)

    def check(self, shape: Shape, policy: Policy) -> None:
        """ValueError for a whole model's shape, or a method, that it cannot serve."""
        self.keys.check(shape.dim)
        self.values.check(shape.dim)
        if self.learns:
            learned = read_calibration(self.calibration)
            learned.check(shape, self.calibration, {"keys": self.keys.learns, "values": self.values.learns})
        for form in (self.keys, self.values):
            if form.span > 1 and policy.evicts:
                raise ValueError(
                    f"cache={form.name} encodes {form.span} neighbouring tokens together, and {type(policy).__name__} "
                    "evicts single ones: use a dense method or a selection, or another cache"
                )
            if self.residual < form.span and form.span > 1:
                raise ValueError(
                    f"cache.residual={self.residual}: {form.name} encodes groups of {form.span} tokens from the plain "
                    f"ones, use {form.span} or more"
                )
        if self.packs and policy.needs.merges:
            raise ValueError(
                f"cache={self.name} packs what stays, and {type(policy).__name__} writes it anew: use cache=plain"
            )
        if policy.evicts and self.residual > policy.budget.recent:
            raise ValueError(
                f"cache.residual={self.residual} is above the {policy.budget.recent} recent slots, which alone are "
                "never dropped: lower it, or raise compression.recent"
            )


PLAIN = Storage()
