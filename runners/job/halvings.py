"""Rows that each worker takes at a time: run.json says where they were halved, because memory ran out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..record import RunFolder


@dataclass(kw_only=True)
class Batches:
    folder: RunFolder
    sizes: Sequence[int]  # one a worker, as they are known to be

    def follow(self, sizes: Sequence[int], num_records: int) -> None:
        """Note what has been halved since the last call, with the records that are there."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        halved = [
            {"time": now, "records": num_records, "worker": worker, "from": before, "to": after}
            for worker, (before, after) in enumerate(zip(self.sizes, sizes, strict=True))
            if after < before
        ]
        if halved:
            self.folder.note(halvings=[*self.folder.run().get("halvings", []), *halved])
            for one in halved:
                print(f"worker {one['worker']}: out of memory, on with a batch of {one['to']}", flush=True)
        self.sizes = list(sizes)  # a worker that died is followed by one of the first size
