"""A model in a folder or on the hub."""

import re
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers import PretrainedConfig as Config
from transformers import PreTrainedModel as Model
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...tasks.reach import prepare
from ..cache import memory
from .asked import asked
from .quiet import quiet

HUB_ID = re.compile(r"[\w][\w.-]*(/[\w.-]+)?")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SMALL = (".json", ".jinja", ".model", ".txt", ".tiktoken")  # files of configs and tokenizers
SHOWN = 3  # tensors that a refusal names
LONGEST = 300  # characters of what transformers says of files that it cannot read
NotEmpty = Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model on disk or on the hub; `path` null: the one that ships as kvarena/models/<name>."""

    name: NotEmpty
    path: NotEmpty | None = None
    dtype: str = "bfloat16"
    revision: NotEmpty | None = None  # of the hub

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"model.dtype={self.dtype}: use one of {', '.join(DTYPES)}")

    @property
    def source(self) -> str:
        return self.path or str(resources.files("kvarena.models") / self.name)

    @property
    def remote(self) -> bool:
        """Whether it has to be fetched from the hub."""
        return bool(HUB_ID.fullmatch(self.source)) and not Path(self.source).is_dir()

    def config(self) -> Config:
        """Read before the weights, so that a wrong path costs nothing."""
        return deepcopy(read_once(self, AutoConfig, self._stamp()))

    def tokenizer(self) -> Tokenizer:
        tokenizer = read_once(self, AutoTokenizer, self._stamp())
        if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):  # a class without its files has no words
            raise ValueError(
                f"model.path={self.source}: no tokenizer there, put the files of the model's own beside it"
            )
        return tokenizer

    def asks(self) -> dict[str, Any]:
        """Of a sampler, by its generation config."""
        try:
            return asked(GenerationConfig.from_pretrained(self.source, revision=self.revision or "main"))
        except OSError:  # none is there
            return asked(GenerationConfig.from_model_config(self.config()))

    def load(self, device: torch.device, change: Callable[[Model], object] = lambda model: None) -> Model:
        """The model on a device, of whose tensors each is as the files have it, but for what `change` does before."""
        with quiet():
            model, info = self._read(
                AutoModelForCausalLM,
                dtype=DTYPES[self.dtype],
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        if wrong := tensors_in_doubt(info):
            raise ValueError(f"model.path={self.source}: the weights are not those of its config.json, {wrong}")
        change(model)
        return model.to(device).eval()

    def _stamp(self) -> frozenset[tuple[str, int, int]]:
        """What tells small files from those that lay in the same place before; nothing is read."""
        status = {path.name: path.stat() for path in Path(self.source).glob("*") if path.suffix in SMALL}
        return frozenset((name, each.st_size, each.st_mtime_ns) for name, each in status.items())

    def _read(self, auto: type, **options: Any) -> Any:
        if not HUB_ID.fullmatch(self.source) and not Path(self.source).is_dir():
            raise ValueError(f"model.path={self.source}: no such folder")
        if self.remote:
            prepare()
        try:
            # False: it refuses code from a folder, rather than ask a terminal whether to run it
            return auto.from_pretrained(self.source, revision=self.revision, trust_remote_code=False, **options)
        except Exception as error:  # broken or foreign files, or a package that they need
            if memory.shortage(error):
                raise
            reason = why_unread(error)
            if self.remote:
                there = f"neither a model folder nor on the hub ({reason}): give model.path=FOLDER"
            else:
                there = f"cannot be read ({torn(Path(self.source)) or reason})"
            raise ValueError(f"model.path={self.source}: {there}") from error


def why_unread(error: Exception) -> str:
    said = " ".join(str(error).split())
    if not said or isinstance(error, LookupError | ArithmeticError):  # which say a key or less
        said = f"{type(error).__name__} {said}".strip()
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}..."


@lru_cache(maxsize=8)
def read_once(checkpoint: Checkpoint, auto: type, stamp: frozenset[tuple[str, int, int]]) -> Any:
    """For all runs of a sweep, as long as the files stay as they are."""
    return checkpoint._read(auto)


def torn(folder: Path) -> str | None:
    """The first file of weights below a folder that is not whole."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            return f"{file.name} is not whole: {error}"
    return None


def tensors_in_doubt(info: Mapping[str, Any]) -> str:
    """The first tensors that the files and the model do not agree on; empty: they agree on all."""
    shapes = {f"{name} {list(there)} instead of {list(here)}" for name, there, here in info["mismatched_keys"]}
    kinds = {"missing": info["missing_keys"], "unexpected": info["unexpected_keys"], "misshapen": shapes}
    return "; ".join(f"{kind}: {first(names)}" for kind, names in kinds.items() if names)


def first(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
