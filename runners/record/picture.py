"""A figure of matplotlib as a file: whole, or not at all."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import replace_file

if TYPE_CHECKING:  # what writes none does without it
    from matplotlib.figure import Figure


def write_figure(figure: "Figure", path: Path, **options: Any) -> None:
    """In the format that its ending names; `options` of savefig."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.removeprefix("."), **options)
    replace_file(path, drawn.getvalue())
