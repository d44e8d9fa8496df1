"""How many tokens a method may keep or read, and which of them it may not touch."""

from dataclasses import dataclass

from .settings import check_types


@dataclass(frozen=True, kw_only=True)
class Budget:
    tokens: int  # slots per KV head left after an eviction, recent ones included; tokens read by a selection
    recent: int = 64  # newest slots, never dropped
    sinks: int = 4  # positions below this are never dropped
    interval: int = 64  # decode steps of a row between two of its evictions; 0: none while it decodes
    protect_prompt: bool = False  # the oldest min(prompt, tokens - recent - 1) positions are never dropped
    prefill: bool = False  # evict right after the prompt too

    def __post_init__(self) -> None:
        check_types("budget", self)
        if self.recent < 1:
            raise ValueError(f"budget.recent={self.recent}: at least the newest slot stays, use 1 or more")
        if self.sinks < 0:
            raise ValueError(f"budget.sinks={self.sinks}: use 0 or more")
        if self.interval < 0:
            raise ValueError(f"budget.interval={self.interval}: use 0 or more decode steps")
        if self.interval == 0 and not self.prefill:
            raise ValueError("budget.interval=0 with prefill=false never evicts: use 1 or more, or prefill=true")
        if self.tokens <= self.recent + self.sinks:
            raise ValueError(
                f"budget of {self.tokens} tokens is not above recent + sinks = {self.recent} + {self.sinks}: "
                "lower compression.ratio or compression.recent, or raise compression.tokens"
            )

    def protected(self, prompt: int, tokens: int | None = None) -> int:
        """Positions below this are never dropped, for a prompt of so many tokens; `tokens`: of a layer, if others."""
        room = (tokens or self.tokens) - self.recent - 1
        return max(self.sinks, min(prompt, room) if self.protect_prompt else 0)
