"""Where the runs below a folder are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn


def run_folders(root: Path) -> list[Path]:
    """Sorted, links followed, each run once; ValueError for what is no folder, OSError for one that cannot be read."""
    refuse_file(root)
    return folders_with(root, "run.json")


def refuse_file(root: Path) -> None:
    """ValueError for what is no folder, with the one to give where a file of a run was given."""
    if root.is_dir():
        return
    if root.exists() and (root.parent / "run.json").is_file():
        raise ValueError(f"{root} is a file of a run: give its folder, {root.parent}")
    raise ValueError(f"RUNS_DIR={root} is not a folder: give the one that the runs were written below")


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
