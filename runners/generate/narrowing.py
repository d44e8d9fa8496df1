"""When a run goes on with fewer rows: where no request waits, and half of the rows or more have been idle for a while.

A device of many products a step takes less time for fewer rows, but each size has to be captured, and nobody knows when
those that are left will end. What has lasted is likely to last, and by then a capture costs about what waiting has.
"""

from dataclasses import dataclass

PATIENCE = 64  # steps that half of the rows are idle
LEAST = 16  # rows; products of fewer take as long (kernels/linear)


def fitting(rows: int, busy: int) -> int:
    """Half of the rows, of these half again, and so on, as far as the busy ones fit; `LEAST` at the least."""
    while (half := -(-rows // 2)) < rows and half >= max(busy, LEAST):
        rows = half
    return rows


def sizes(rows: int) -> list[int]:
    """All that rows may come down to, the largest first."""
    found = []
    while (half := fitting(rows, -(-rows // 2))) < rows:
        found.append(rows := half)
    return found


@dataclass(kw_only=True)
class Narrowing:
    """Follows the steps of a run."""

    crowded: int  # the last step for which more than half of the rows were busy, or the first

    def rows(self, rows: int, busy: int, step: int) -> int:
        """How many to go on with."""
        fewer = fitting(rows, busy)
        if fewer == rows:
            self.crowded = step
        return fewer if step - self.crowded >= PATIENCE else rows
