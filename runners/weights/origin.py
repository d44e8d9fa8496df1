"""What a folder of imported weights was made of, written into it and from there into run.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "origin.json"


@dataclass(frozen=True, kw_only=True)
class Origin:
    files: Sequence[str]  # names of the GGUF's parts, in order
    sha256: str  # of the whole GGUF
    num_bytes: int
    name: str | None  # as the GGUF calls itself
    license: str | None
    architecture: str
    quantisation: Mapping[str, int]  # tensors of each type
    dtype: str  # of the folder
    versions: Mapping[str, str]  # of what converted them

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    def same_weights(self, other: "Origin") -> bool:
        return (self.sha256, self.dtype) == (other.sha256, other.dtype)


def read_origin(folder: Path) -> Origin | None:
    """None: a folder that was not imported, or a name on the hub."""
    file = folder / FILE
    return Origin(**json.loads(file.read_text())) if file.is_file() else None
