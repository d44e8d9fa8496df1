"""A GGUF becomes a folder in Hugging Face format: whole, or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from .gguf_file import GgufFile
from .hugging_face import empty_model, write_config, write_tokenizer
from .origin import Origin, read_origin
from .parts import Whole, join, require_space
from .shards import write_shards

BESIDE = 64 * 2**20  # bytes of tokenizer and configs, at most


def import_gguf(parts: Sequence[Path], output: Path, *, dtype: torch.dtype, sha256: str | None = None) -> Origin:
    """Write the folder, unless it is there already; `sha256` (of the GGUF, its parts joined): refuse any other."""
    output = output.absolute()
    place = next(parent for parent in output.parents if parent.is_dir())  # one file system with the folder
    with TemporaryDirectory(prefix=".kvarena-import-", dir=place) as temporary:
        whole = join(parts, Path(temporary))
        label = str(parts[0]) if len(parts) == 1 else f"{parts[0]} with {len(parts) - 1} more"
        if sha256 and whole.sha256 != sha256.lower():
            raise ValueError(f"{label} has sha256 {whole.sha256}, not {sha256}: download it again")
        file = GgufFile.read(whole.path, label)
        origin = origin_of(parts, whole, file, dtype)
        if is_there(output, origin):
            return origin
        with metadata_of(label):
            model = empty_model(file, dtype)
        parameters = dict(model.named_parameters())  # tied ones once
        require_space(place, sum(p.numel() for p in parameters.values()) * dtype.itemsize + BESIDE)
        folder = Path(temporary) / output.name
        folder.mkdir()
        write_config(folder, model)
        with metadata_of(label):
            write_tokenizer(folder, file)
        write_shards(folder, file, parameters, dtype)
        origin.write(folder)
        output.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(output)
    return origin


@contextmanager
def metadata_of(label: str) -> Iterator[None]:
    """Of values that contradict one another transformers and tokenizers raise anything, a bare Exception too."""
    try:
        yield
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise ValueError(f"{label}: no model can be made of its metadata ({type(error).__name__}: {error})") from error


def is_there(output: Path, origin: Origin) -> bool:
    """Refuses a folder of anything else."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return False
    there = read_origin(output)
    if there is None:
        raise ValueError(f"{output} exists and was not imported: choose another folder")
    if not there.same_weights(origin):
        raise ValueError(f"{output} holds {', '.join(there.files)} in {there.dtype}: choose another folder")
    return True


def origin_of(parts: Sequence[Path], whole: Whole, file: GgufFile, dtype: torch.dtype) -> Origin:
    return Origin(
        files=[part.name for part in parts],
        sha256=whole.sha256,
        num_bytes=whole.num_bytes,
        name=file.value("general.name"),
        license=file.value("general.license"),
        architecture=file.architecture,
        quantisation=file.quantisation,
        dtype=str(dtype).removeprefix("torch."),
        versions={package: version(package) for package in ("gguf", "transformers")},
    )
