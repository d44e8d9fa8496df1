"""kvarena-import: a GGUF, whole or in parts, becomes a folder in Hugging Face format that model.path takes."""

import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..job.errors import USER_ERRORS, one_line
from ..model import DTYPES
from ..record import LineParser


def main(argv: Sequence[str] | None = None) -> int:
    parser = LineParser(prog="kvarena-import", description=__doc__)
    parser.add_argument("gguf", type=Path, nargs="+", help="a GGUF, or the parts that it was cut into, in order")
    parser.add_argument("output_dir", type=Path, help="the folder to write")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16", help="of the weights written")
    parser.add_argument("--sha256", help="of the whole GGUF; any other is refused")
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    try:
        if find_spec("gguf") is None:
            raise ValueError("needs the gguf package: pip install 'kvarena[gguf]'")
        from .importer import import_gguf  # of an extra that may be absent

        dtype = DTYPES[arguments.dtype]
        origin = import_gguf(arguments.gguf, arguments.output_dir, dtype=dtype, sha256=arguments.sha256)
    except USER_ERRORS as error:
        print(f"kvarena-import: {one_line(error)}", file=sys.stderr)
        return 2
    types = ", ".join(f"{count} {name}" for name, count in origin.quantisation.items())
    print(f"{arguments.output_dir}: {origin.name}, {types} as {origin.dtype}, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
