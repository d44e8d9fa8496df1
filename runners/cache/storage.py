"""How a cache stores keys and values: a choice of its own beside the method (docs/cache.md)."""

from dataclasses import dataclass, field

from pydantic import NonNegativeInt

from ...kernels.pack import Format, Plain
from ...methods.policy import Policy
from ...methods.settings import check_types


@dataclass(frozen=True, kw_only=True)
class Storage:
    keys: Format = field(default_factory=Plain)
    values: Format = field(default_factory=Plain)
    residual: NonNegativeInt = 0  # newest tokens of a row that are read as they came

    def __post_init__(self) -> None:
        check_types("cache", self)
        if self.residual and not self.packs:
            raise ValueError(f"cache.residual={self.residual}: a plain cache packs nothing, use 0")

    @property
    def packs(self) -> bool:
        return self.keys.packs or self.values.packs

    @property
    def name(self) -> str:
        """As tables call it: keys-values where they differ, +rN with a residual."""
        both = self.keys.name if self.keys == self.values else f"{self.keys.name}-{self.values.name}"
        return both + (f"+r{self.residual}" if self.residual else "")

    def check(self, dim: int, policy: Policy) -> None:
        """ValueError for a head size, or a method, that it cannot serve."""
        self.keys.check(dim)
        self.values.check(dim)
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
