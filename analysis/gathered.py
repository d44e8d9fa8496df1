"""Runs of several places as one: folders of runs, and archives of them as `kvarena-report --archive` packs them."""

import lzma
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..runners.record import refuse_file
from .load import Run, load


@contextmanager
def gathered(sources: Sequence[Path]) -> Iterator[list[Run]]:
    """All runs, each named by its source and its place there; archives are unpacked as long as the runs are read."""
    with ExitStack() as stack:
        runs: list[Run] = []
        for source in sources:
            folder = source if source.is_dir() else stack.enter_context(unpacked(source))
            try:
                runs += [replace(run, name=f"{source}:{run.name}") for run in load(folder)]
            except ValueError as error:
                raise ValueError(str(error).replace(str(folder), str(source))) from error
        yield runs


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    if not archive.is_file():
        raise ValueError(f"{archive}: there is no such folder or archive of runs")
    with TemporaryDirectory() as folder:
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
            if (archive.parent / "run.json").is_file():
                refuse_file(archive)
            raise ValueError(f"{archive}: no archive of runs, or a broken one ({error})") from error
        yield Path(folder)
