"""How far a run is: rows done, tokens a second, time left by tokens, verdicts, loops and truncations so far."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from ..record import Record

PERIOD = 30  # s between two lines where nobody sees them move


@dataclass(kw_only=True)
class Tally:
    """Counts over rows that are done."""

    rows: int = 0
    tokens: int = 0
    graded: int = 0
    right: float = 0.0
    loops: int = 0
    truncated: int = 0
    evictions: int = 0

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.rows += 1
            self.tokens += record.num_tokens
            self.graded += record.score is not None
            self.right += record.score or 0.0
            self.loops += record.loop_onset is not None
            self.truncated += record.stop == "length"
            self.evictions += record.num_evictions

    def numbers(self) -> dict[str, float]:
        """Means over rows; what has no rows yet is left out."""
        found = {"accuracy": (self.right, self.graded)}
        sums = {"loop_rate": self.loops, "truncation_rate": self.truncated, "evictions": self.evictions}
        found |= {name: (value, self.rows) for name, value in (sums | {"mean_length": self.tokens}).items()}
        return {name: value / count for name, (value, count) in found.items() if count} | {"rows": self.rows}


@dataclass(kw_only=True)
class Progress:
    name: str
    num_rows: int  # of the whole run
    max_tokens: int  # of a completion
    typical: float  # tokens of a completion, as long as none is done
    lengths: Callable[[], Sequence[int]]  # tokens so far of each row under way
    tally: Tally  # of rows done before; `add` goes on with it
    clock: Callable[[], float] = time.monotonic  # s, never set back

    started: float = field(init=False)
    before: int = field(init=False)  # tokens of rows done before

    def __post_init__(self) -> None:
        self.started, self.before = self.clock(), self.tally.tokens

    def add(self, records: Iterable[Record]) -> None:
        self.tally.add(records)

    @property
    def seconds(self) -> float:
        return self.clock() - self.started

    def rate(self, under_way: Sequence[int] = ()) -> float:
        """Tokens a second since the start."""
        tokens = self.tally.tokens - self.before + sum(under_way)
        return tokens / self.seconds if self.seconds > 0 else 0.0

    def left(self, under_way: Sequence[int]) -> float:
        """Tokens that are still to come.

        The short rows end first, so the mean of those done is too low. All tokens over rows done is the estimate that
        counts the rows under way too (a mean life with some still living); no row goes beyond max_tokens.
        """
        mean = self.typical
        if self.tally.rows:
            mean = min((self.tally.tokens + sum(under_way)) / self.tally.rows, self.max_tokens)
        waiting = max(0, self.num_rows - self.tally.rows - len(under_way))
        return waiting * mean + sum(min(mean, self.max_tokens - length) for length in under_way)

    def line(self) -> str:
        under_way, tally = self.lengths(), self.tally
        rate = self.rate(under_way)
        left = str(timedelta(seconds=round(self.left(under_way) / rate))) if rate else "unknown"
        right = f"{tally.right / tally.graded:.2f}" if tally.graded else "-"
        return (
            f"{self.name}: {tally.rows}/{self.num_rows} rows, {rate:.0f} tokens/s, {left} left, "
            f"right {right}, loops {tally.loops}, truncated {tally.truncated}"
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A line that is written over on a terminal; elsewhere a plain line each period; and one at the end."""
        start, end, period = ("\r\x1b[K", "", 1) if sys.stderr.isatty() else ("", "\n", PERIOD)
        over = threading.Event()

        def show() -> None:
            while not over.wait(period):
                print(start + self.line(), end=end, file=sys.stderr, flush=True)

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            print(start + self.line(), file=sys.stderr, flush=True)
