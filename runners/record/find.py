"""Where the runs below a folder are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn


def run_folders(root: Path) -> list[Path]:
    """Sorted, links followed, each run once; a folder that cannot be read is an OSError."""
    return folders_with(root, "run.json")


def folders_with(root: Path, name: str) -> list[Path]:
    """The same of those that hold a file of a name."""
    return sorted(folder for folder, files in folders(root) if name in files)


def folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each folder once with its files: by its own path where that is below the root, else by the first link to it."""
    seen: set[Path] = set()
    tops = [root]
    for top in tops:  # which grows
        for place, names, files in os.walk(top, onerror=fail):
            folder = Path(place)
            if (own := folder.resolve()) in seen:
                names.clear()
                continue
            seen.add(own)
            names.sort()
            yield folder, files
            links = [folder / name for name in names if (folder / name).is_symlink()]
            # a link to a folder that it stands in would lead around, and out of the root
            tops += [link for link in links if not own.is_relative_to(link.resolve())]


def fail(error: OSError) -> NoReturn:
    raise error
